//! From files to settings: the main file, the files it includes, and every problem in any of them.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use toml::de::DeTable;

use super::files::{Files, matching_files};
use super::issuer::IssuerSettings;
use super::named::{Named, unique_name};
use super::places::{Place, Places};
use super::problem::{ConfigError, Problem, Problems, Source};
use super::project::{ReadRestriction, restriction};
use super::publisher::publisher;
use super::reader::Table;
use super::rule_test::{ReadTest, rule_test};
use super::sections::UPSTREAM_TIMEOUT;
use super::settings::{Settings, kept_claims, settings};
use super::{issuer, upstream};
use crate::policy::{Passwords, Publisher, Restriction};
use crate::proxy::IndexRoute;

/// What came of reading a configuration.
#[derive(Debug)]
pub struct Reading {
    /// The configuration, or everything that is wrong with it.
    pub settings: Result<Settings, ConfigError>,
    /// What it was read from, in either case.
    pub files: Files,
}

/// Reads a configuration. All of it is read, so that all problems are told at once.
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    read(path).settings
}

/// Reads a configuration, and remembers its files.
pub fn read(path: &Path) -> Reading {
    let problems = Problems::default();
    let settings = load_into(path, &problems);
    let files = problems.files.take();
    Reading { settings: without_problems(path, settings, problems), files }
}

fn without_problems(
    path: &Path,
    settings: Option<Settings>,
    problems: Problems,
) -> Result<Settings, ConfigError> {
    problems.into_result()?;
    settings.ok_or_else(|| {
        // Without a problem there are settings; should that ever fail, nothing starts.
        let nothing = Problems::default();
        nothing.add(Problem::with_file(path, "the configuration cannot be used"));
        nothing.into_result().expect_err("a problem was added above")
    })
}

fn load_into(path: &Path, problems: &Problems) -> Option<Settings> {
    let main = source(path, problems)?;
    let document = parse(&main, problems);
    let included = included_files(&Table::document(&main, problems, &document));
    let included: Vec<Source> = included.iter().filter_map(|path| source(path, problems)).collect();
    included.iter().for_each(|source| check_not_empty(source, problems));
    let mut settings = interpret(&main, &document, &included, problems);
    drop(document);
    if let Some(settings) = &mut settings {
        settings.places.sources = std::iter::once(main).chain(included).collect();
    }
    settings
}

fn interpret<'a>(
    main: &'a Source,
    document: &'a toml::Spanned<DeTable<'a>>,
    included: &'a [Source],
    problems: &'a Problems,
) -> Option<Settings> {
    let table = Table::document(main, problems, document);
    // Which files they are was read before.
    table.get("include");
    let general = settings(&table);
    let timeout = general.as_ref().map_or(UPSTREAM_TIMEOUT, |general| general.upstream_timeout);
    let public_url = general.as_ref().map_or("", |general| general.public_url.as_str());
    let upstream = |table: &Table<'_>| upstream::upstream(table, public_url, timeout).map(Arc::new);
    let upstream_tables = table.tables("upstream");
    let upstreams = Named::read(&upstream_tables, upstream);
    upstreams.check_distinct(&upstream_tables, "path", |upstream| &upstream.prefix);
    let tables = table.tables("index");
    let indexes = Named::read(&tables, |table| upstream::index(table, &upstreams));
    indexes.check_distinct(&tables, "upload_path", |index| &index.upload_path);
    let tables = table.tables("issuer");
    let issuers = Named::read(&tables, issuer::issuer);
    issuers.check_distinct(&tables, "url", |issuer| &issuer.url);

    let documents: Vec<_> = included.iter().map(|source| (source, parse(source, problems))).collect();
    let mut tables = vec![table];
    tables.extend(documents.iter().map(|(source, document)| Table::document(source, problems, document)));
    let mut rules = RuleReader::new(&issuers, &indexes);
    for (file, table) in tables.into_iter().enumerate() {
        rules.read(file, &table);
        table.finish();
    }
    let RuleReader { names, publishers, restrictions, tests, places, .. } = rules;
    restrictions.iter().for_each(|restriction| restriction.check_names(&names));
    let kept = kept_claims(&publishers);
    let tests = tests.into_iter().map(|test| test.placed(&names, &kept)).collect();
    let restrictions: Vec<_> = restrictions.into_iter().map(|read| read.restriction).collect();
    upstream::check_one_way_in(&upstream_tables, &upstreams, |upstream| {
        let of_it = |index: &&IndexRoute| index.upstream == *upstream;
        indexes.items().filter(of_it).any(|index| restricts_passwords(index, &restrictions))
    });
    let mut settings = general?;
    settings.hash = hash(std::iter::once(main).chain(included));
    settings.upstreams = upstreams.into_items();
    settings.indexes = indexes.into_items();
    settings.issuers = issuers.into_items();
    settings.publishers = publishers;
    settings.restrictions = restrictions;
    settings.tests = tests;
    settings.places = places;
    Some(settings)
}

fn restricts_passwords(index: &IndexRoute, restrictions: &[Restriction]) -> bool {
    let of_project = |restriction: &Restriction| {
        restriction.index == index.index
            && restriction.passwords.is_some_and(|rule| rule.then != Passwords::Allow)
    };
    index.passwords != Passwords::Allow || restrictions.iter().any(of_project)
}

/// Reads what may stand in any file: the rules.
struct RuleReader<'n, 'a> {
    issuers: &'n Named<IssuerSettings>,
    indexes: &'n Named<IndexRoute>,
    names: HashSet<String>,
    publishers: Vec<Publisher>,
    restrictions: Vec<ReadRestriction<'a>>,
    tests: Vec<ReadTest<'n, 'a>>,
    places: Places,
}

impl<'n, 'a> RuleReader<'n, 'a> {
    fn new(issuers: &'n Named<IssuerSettings>, indexes: &'n Named<IndexRoute>) -> Self {
        Self {
            issuers,
            indexes,
            names: HashSet::new(),
            publishers: Vec::new(),
            restrictions: Vec::new(),
            tests: Vec::new(),
            places: Places::default(),
        }
    }

    fn read(&mut self, file: usize, table: &Table<'a>) {
        for table in table.tables("publisher") {
            unique_name(&table, &mut self.names);
            if let Some(publisher) = publisher(&table, self.issuers, self.indexes) {
                self.places.publishers.insert(publisher.name.clone(), Place::of(file, &table));
                self.publishers.push(publisher);
            }
            table.finish();
        }
        for table in table.tables("project") {
            if let Some(restriction) = restriction(&table, self.indexes) {
                self.places.restrictions.push(Place::of(file, &table));
                self.restrictions.push(restriction);
            }
            table.finish();
        }
        for table in table.tables("test") {
            self.tests.extend(rule_test(&table, self.issuers, self.indexes));
            table.finish();
        }
    }
}

fn source(path: &Path, problems: &Problems) -> Option<Source> {
    problems.files.borrow_mut().note(path);
    match fs::read_to_string(path) {
        Ok(text) => Some(Source { path: path.to_owned(), text }),
        Err(error) => {
            let problem = Problem::with_file(path, format!("cannot read the file: {error}"));
            problems.add(problem.fix("name the file with --config, and make it readable"));
            None
        }
    }
}

/// An empty file is one that somebody is writing, or that a full disk cut off. Its rules would be gone without a word, and
/// its restrictions, too.
fn check_not_empty(source: &Source, problems: &Problems) {
    if source.text.trim().is_empty() {
        let problem = Problem::with_file(&source.path, "the file is empty");
        problems
            .add(problem.fix("remove it if it is not needed; a file that only holds a comment is fine, too"));
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
        item.reads_matching(&pattern);
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

/// Twelve hex digits that name a configuration in the audit: of all its files, in order.
fn hash<'a>(sources: impl Iterator<Item = &'a Source>) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for source in sources {
        context.update(&(source.text.len() as u64).to_be_bytes());
        context.update(source.text.as_bytes());
    }
    context.finish().as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}
