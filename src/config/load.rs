//! From files to settings: the main file, the files it includes, and every problem in any of them.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use toml::de::DeTable;

use super::problem::{ConfigError, Problem, Problems, Source};
use super::publisher::publisher;
use super::reader::Table;
use super::settings::{Settings, settings};
use super::{issuer, upstream};
use crate::policy::Glob;

/// Reads a configuration. All of it is read, so that all problems are told at once.
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    let problems = Problems::default();
    let settings = load_into(path, &problems);
    problems.into_result()?;
    settings.ok_or_else(|| {
        // Without a problem there are settings; should that ever fail, nothing starts.
        let nothing = Problems::default();
        nothing.add(Problem::with_file(path, "the configuration cannot be used"));
        nothing.into_result().expect_err("a problem was added above")
    })
}

fn load_into(path: &Path, problems: &Problems) -> Option<Settings> {
    let main = read(path, problems)?;
    let document = parse(&main, problems);
    let table = Table::document(&main, problems, &document);
    let included: Vec<Source> =
        included_files(&table).iter().filter_map(|path| read(path, problems)).collect();

    let general = settings(&table);
    let timeout =
        general.as_ref().map_or(super::settings::UPSTREAM_TIMEOUT, |general| general.upstream_timeout);
    let public_url = general.as_ref().map_or("", |general| general.public_url.as_str());
    let upstreams = table.tables("upstream");
    let upstreams = read_all(upstreams, |table| upstream::upstream(table, public_url, timeout));
    let upstreams: Vec<_> = upstreams.into_iter().map(Arc::new).collect();
    let indexes = read_all(table.tables("index"), |table| upstream::index(table, &upstreams));
    let issuers = read_all(table.tables("issuer"), issuer::issuer);

    let mut names = HashSet::new();
    let mut publishers = read_publishers(&table, &issuers, &indexes, &mut names);
    table.not_yet(&["project", "test"]);
    table.finish();
    for source in &included {
        let document = parse(source, problems);
        let table = Table::document(source, problems, &document);
        publishers.extend(read_publishers(&table, &issuers, &indexes, &mut names));
        table.not_yet(&["project", "test"]);
        table.finish();
    }
    let mut settings = general?;
    settings.hash = hash(std::iter::once(&main).chain(&included));
    settings.upstreams = upstreams;
    settings.indexes = indexes;
    settings.issuers = issuers;
    settings.publishers = publishers;
    Some(settings)
}

/// Reads tables that each have a `name` of their own.
fn read_all<T>(tables: Vec<Table<'_>>, read: impl Fn(&Table<'_>) -> Option<T>) -> Vec<T> {
    let mut names = HashSet::new();
    let mut all = Vec::new();
    for table in tables {
        check_unique(&table, &mut names);
        all.extend(read(&table));
        table.finish();
    }
    all
}

fn read_publishers(
    table: &Table<'_>,
    issuers: &[issuer::IssuerSettings],
    indexes: &[crate::proxy::IndexRoute],
    names: &mut HashSet<String>,
) -> Vec<crate::policy::Publisher> {
    let mut publishers = Vec::new();
    for table in table.tables("publisher") {
        check_unique(&table, names);
        publishers.extend(publisher(&table, issuers, indexes));
        table.finish();
    }
    publishers
}

fn check_unique(table: &Table<'_>, names: &mut HashSet<String>) {
    let Some(name) = table.get("name") else { return };
    if let Some(text) = name.raw().as_str()
        && !names.insert(text.to_owned())
    {
        name.problem(
            format!("the name `{text}` is taken"),
            "give each its own name; audit lines and rules refer to it",
        );
    }
}

fn read(path: &Path, problems: &Problems) -> Option<Source> {
    match fs::read_to_string(path) {
        Ok(text) => Some(Source { path: path.to_owned(), text }),
        Err(error) => {
            let problem = Problem::with_file(path, format!("cannot read the file: {error}"));
            problems.add(problem.fix("name the file with --config, and make it readable"));
            None
        }
    }
}

fn parse<'a>(source: &'a Source, problems: &Problems) -> toml::Spanned<DeTable<'a>> {
    let (document, errors) = DeTable::parse_recoverable(&source.text);
    for error in errors {
        let span = error.span().unwrap_or_default();
        let message = error.message().lines().collect::<Vec<_>>().join(" ");
        problems.add(Problem::at(source, &span, format!("not valid TOML: {message}")));
    }
    document
}

/// The files that `include` names, sorted; a pattern may stand in the file name.
fn included_files(table: &Table<'_>) -> Vec<PathBuf> {
    let Some(include) = table.get("include") else { return Vec::new() };
    let mut files = Vec::new();
    for item in include.items() {
        let Some(text) = item.text() else { continue };
        let pattern = table.source().folder().join(text);
        match matching_files(&pattern) {
            Ok(found) => files.extend(found),
            Err(error) => item.problem(
                format!("cannot look for `{}`: {error}", pattern.display()),
                "make the folder, or correct the path; only the file name may hold `*`",
            ),
        }
    }
    files.sort();
    files.dedup();
    files
}

fn matching_files(pattern: &Path) -> std::io::Result<Vec<PathBuf>> {
    let name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !name.contains(['*', '?']) {
        return Ok(vec![pattern.to_owned()]);
    }
    let glob: Glob = name.parse().map_err(std::io::Error::other)?;
    let folder = pattern.parent().unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file_name = entry?.file_name();
        let visible = file_name.to_str().filter(|name| !name.starts_with('.'));
        if visible.is_some_and(|name| glob.matches(name, crate::policy::Compare::Exact)) {
            found.push(folder.join(file_name));
        }
    }
    Ok(found)
}

/// Twelve hex digits that name a configuration in the audit: of all its files, in order.
fn hash<'a>(sources: impl Iterator<Item = &'a Source>) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for source in sources {
        context.update(&(source.text.len() as u64).to_be_bytes());
        context.update(source.text.as_bytes());
    }
    context.finish().as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}
