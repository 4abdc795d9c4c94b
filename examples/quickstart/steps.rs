//! What happens on the stage, and how it is checked: by what the index has stored, not by what a client says.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::show;
use crate::support::claims::{COMMIT, Claims};
use crate::support::clients::{Run, Workshop};
use crate::support::devpi::{self, Devpi, Index};
use crate::support::gateway::Gateway;
use crate::support::issuer::Issuer;
use crate::support::package::{self, Package};

/// The project that is published.
pub const PROJECT: &str = "quickstart-demo";

/// Its version: the tag that the job was started for.
const VERSION: &str = "1.2.0";

/// Who may publish it.
pub const RULES: &str = r#"
[[publisher]]
name = "demo-release"
issuer = "github"
index = "prod"
projects = ["quickstart-demo"]
repository = "acme/quickstart-demo"
repository_id = 812345678
repository_owner_id = 4455
workflow = "release.yml"
environment = "pypi"
tag = "v{version}"
"#;

/// Everything that is running.
pub struct World<'a> {
    pub devpi: &'a Devpi,
    pub index: Index,
    pub issuer: &'a Issuer,
    pub gateway: &'a Gateway,
    pub workshop: &'a Workshop,
}

impl World<'_> {
    /// The job that the rules are written for.
    pub fn own_repository(&self) -> Claims {
        Claims::github().repository(&format!("acme/{PROJECT}"), "812345678", "4455")
    }

    /// What a user of the index types as its upload URL.
    pub fn upload_url(&self) -> String {
        format!("{}{}", self.gateway.url(), self.index.path)
    }

    /// What a user of the index types as its index URL.
    pub fn index_url(&self) -> String {
        format!("{}+simple/", self.upload_url())
    }

    /// A wheel and an sdist of a project, made by the real build tools.
    pub fn build(&self, project: &str) -> Vec<PathBuf> {
        self.build_version(project, VERSION)
    }

    /// The same, of another version.
    pub fn build_version(&self, project: &str, version: &str) -> Vec<PathBuf> {
        let sources = self.workshop.directory(project).join(version);
        package::write_project(&sources, project, version);
        let build = self.workshop.uv().args(["build", "--quiet", "--offline", "--no-build-isolation"]);
        build.inside(&sources).run().expect_success();
        let entries = fs::read_dir(sources.join("dist")).expect("the build has made it");
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files
            .retain(|path| path.extension().is_some_and(|extension| extension == "whl" || extension == "gz"));
        files.sort();
        assert_eq!(files.len(), 2, "a wheel and an sdist: {files:?}");
        files
    }

    /// `uv publish` as the job that `claims` describe: everything is stored, as it is on disk.
    pub fn publish(&self, claims: &Claims, files: &[PathBuf]) -> Result<String, String> {
        let publish = self.uv_publish(claims, files);
        let secrets = [self.devpi.uploader_password(), devpi::BOB];
        let environment = publish.environment();
        if let Some((name, _)) = environment.iter().find(|(_, value)| secrets.contains(&value.as_str())) {
            return Err(format!("there is a password in the client's environment: {name}"));
        }
        let names = environment.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        show::note(&format!("the job's whole environment: {}", names.join(" ")));
        let outcome = show::run(publish);
        demand(outcome.succeeded(), "uv failed")?;
        let stored = self.index.files();
        for file in files {
            let package = Package::read(file);
            let found = stored.get(&package.file_name);
            let found = found.ok_or_else(|| format!("devpi has no {}", package.file_name))?;
            show::note(&format!(
                "devpi: {} sha256 {}, uploaded by {}",
                package.file_name, found.sha256, found.who
            ));
            demand(found.sha256 == package.sha256(), "the stored file is not the file on disk")?;
            demand(found.who == devpi::UPLOADER, "it was not the gateway's own user that stored it")?;
        }
        Ok("both are stored, byte for byte; there was no password in the job".to_owned())
    }

    /// `pip install` from the gateway, into a directory of its own.
    pub fn install(&self) -> Result<String, String> {
        let site = self.workshop.directory("site");
        let options = ["install", "--no-deps", "--no-cache-dir", "--target", "site", "--index-url"];
        let requirement = format!("{PROJECT}=={VERSION}");
        let outcome = show::run(self.workshop.pip().args(options).args([&*self.index_url(), &requirement]));
        demand(outcome.succeeded(), "pip failed")?;
        let module = site.join(PROJECT.replace('-', "_")).join("__init__.py");
        demand(
            fs::read_to_string(&module).is_ok_and(|text| text.contains(VERSION)),
            "the module is not there",
        )?;
        Ok(format!("{PROJECT} {VERSION} is installed"))
    }

    /// `uv publish` as the job that `claims` describe: it fails, its user sees why, nothing is stored.
    pub fn refuse(&self, claims: &Claims, files: &[PathBuf], words: &[&str]) -> Result<String, String> {
        let before = self.index.files();
        let outcome = show::run(self.uv_publish(claims, files));
        demand(!outcome.succeeded(), "uv succeeded")?;
        demand(self.index.files() == before, "something was stored")?;
        let seen = outcome.text();
        match words.iter().find(|word| !seen.contains(**word)) {
            Some(word) => Err(format!("the user is not told about `{word}`")),
            None => Ok("nothing is stored, and the text above says why".to_owned()),
        }
    }

    /// `twine upload` of another project by an ordinary devpi user.
    pub fn publish_with_password(&self) -> Result<String, String> {
        let package = Package::wheel("internal-tool", "0.1");
        let dist = self.workshop.directory("internal-tool");
        package.write_to(&dist);
        show::note(&format!("TWINE_USERNAME={0} TWINE_PASSWORD={0}", devpi::BOB));
        let file = [PathBuf::from(&package.file_name)];
        let upload = self.workshop.twine_upload(&self.upload_url(), devpi::BOB, devpi::BOB, &file);
        demand(show::run(upload.inside(&dist)).succeeded(), "twine failed")?;
        let stored = self.index.files();
        let found = stored.get(&package.file_name).ok_or("devpi has no such file")?;
        demand(found.sha256 == package.sha256(), "the stored file is not the file on disk")?;
        demand(found.who == devpi::BOB, "devpi does not know who it was")?;
        Ok(format!("stored, and devpi knows that it was {}", devpi::BOB))
    }

    /// `uv publish` in the directory of the files, as the job that `claims` describe.
    fn uv_publish(&self, claims: &Claims, files: &[PathBuf]) -> Run {
        let names: Vec<PathBuf> =
            files.iter().filter_map(|path| path.file_name().map(PathBuf::from)).collect();
        let dist = files.first().and_then(|path| path.parent()).expect("there is something to publish");
        let publish = self.workshop.uv_publish(&self.upload_url(), &names);
        publish.github(&self.issuer.job(claims)).inside(dist)
    }

    /// Where a stored file comes from, by the audit log.
    pub fn trace(&self, files: &[PathBuf]) -> Result<String, String> {
        let mut origin = String::new();
        for file in files {
            let package = Package::read(file);
            show::note(&format!("$ grep {} audit.jsonl", package.sha256()));
            let lines = self.gateway.audit_about(&package.sha256());
            lines.iter().for_each(|line| show::quote(&line.to_string()));
            let line = lines.last().ok_or("the audit log does not know the file")?;
            let [repository, commit] =
                ["repository", "sha"].map(|name| member(line, name).unwrap_or_default());
            demand(repository == format!("acme/{PROJECT}"), "the line does not name the repository")?;
            demand(commit == COMMIT, "the line does not name the commit")?;
            origin = format!("commit {commit} of {repository}");
        }
        Ok(format!("it was {origin}"))
    }
}

fn demand(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// The text of the member `name`, however deep it lies.
fn member<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    let members = value.as_object()?;
    let own = members.get(name).and_then(Value::as_str);
    own.or_else(|| members.values().find_map(|inner| member(inner, name)))
}
