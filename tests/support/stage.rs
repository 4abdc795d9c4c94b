//! The usual scene: a gateway in front of one index, and two CI jobs that may publish `acme-widget` 1.2.0 there.

use std::path::PathBuf;
use std::sync::Arc;

use super::claims::Claims;
use super::clients::{Run, Workshop};
use super::devpi::{Devpi, Index};
use super::gateway::{Gateway, Setup};
use super::issuer::Issuer;
use super::package::Package;
use super::pypiserver::Pypiserver;
use super::python::Python;
use super::recorder::Recorder;
use super::tls::Authority;

/// The project that the jobs may publish, and its version.
pub const PROJECT: (&str, &str) = ("acme-widget", "1.2.0");

/// Who may publish it. [`Claims::github`] and [`Claims::gitlab`] are such jobs.
pub const RULES: &str = r#"
[[publisher]]
name = "widget-github"
issuer = "github"
index = "prod"
projects = ["acme-widget"]
repository = "acme/widget"
repository_id = 887766
repository_owner_id = 4411
workflow = "release.yml"
environment = "pypi"
tag = "v{version}"

[[publisher]]
name = "widget-gitlab"
issuer = "gitlab"
index = "prod"
projects = ["acme-widget"]
project_path = "platform/libs/widget"
namespace_id = 72
workflow = ".gitlab-ci.yml"
environment = "pypi"
tag = "v{version}"
"#;

/// A gateway with everything around it but the index.
pub struct Stage {
    /// Issuer `github`.
    pub github: Issuer,
    /// Issuer `gitlab`.
    pub gitlab: Issuer,
    /// The gateway, with its index `prod`.
    pub gateway: Gateway,
    /// Who signed all certificates.
    pub authority: Arc<Authority>,
    upload_path: String,
}

impl Stage {
    /// In front of a fresh index of the shared devpi.
    #[track_caller]
    pub fn devpi() -> (Self, Index) {
        let devpi = Devpi::shared();
        let index = devpi.fresh_index();
        (Self::set(|setup| setup.devpi(devpi).index("prod", "devpi", &index.path), &index.path), index)
    }

    /// In front of a pypiserver of its own.
    #[track_caller]
    pub fn pypiserver() -> (Self, Pypiserver) {
        let pypiserver = Pypiserver::start(Python::shared());
        (Self::set(|setup| setup.pypiserver(&pypiserver).index("prod", "pypiserver", "/"), "/"), pypiserver)
    }

    /// In front of a recorder in the part of an index of kind `generic` at `/root/prod/`.
    #[track_caller]
    pub fn recorder() -> (Self, Recorder) {
        let recorder = Recorder::start();
        let declare = |setup: Setup| setup.upstream("recorder", "generic", &recorder.url());
        (Self::set(|setup| declare(setup).index("prod", "recorder", "/root/prod/"), "/root/prod/"), recorder)
    }

    /// With whatever `declare` puts behind it; the index is called `prod`.
    #[track_caller]
    pub fn set(declare: impl FnOnce(Setup) -> Setup, upload_path: &str) -> Self {
        let authority = Authority::new();
        let (github, gitlab) = (Issuer::start(&authority), Issuer::start(&authority));
        let setup =
            Setup::new(&authority).issuer("github", "github", &github).issuer("gitlab", "gitlab", &gitlab);
        let gateway = declare(setup.also(RULES)).start();
        Self { github, gitlab, gateway, authority, upload_path: upload_path.to_owned() }
    }

    /// The upload URL of the index.
    pub fn upload_url(&self) -> String {
        format!("{}{}", self.gateway.url(), self.upload_path)
    }

    /// The upload path of the index.
    pub fn upload_path(&self) -> &str {
        &self.upload_path
    }

    /// A home for clients that trust this gateway.
    pub fn workshop(&self) -> Workshop {
        Workshop::new(Python::shared(), &self.authority)
    }

    /// `uv publish` as the job of GitHub Actions that these claims describe.
    pub fn uv_publish(&self, workshop: &Workshop, claims: &Claims, files: &[PathBuf]) -> Run {
        workshop.uv_publish(&self.upload_url(), files).github(&self.github.job(claims))
    }
}

/// The wheel and the sdist of [`PROJECT`].
pub fn wheel_and_sdist() -> [Package; 2] {
    let (project, version) = PROJECT;
    [Package::wheel(project, version), Package::sdist(project, version)]
}
