//! What a CI provider says about a job, in the provider's own words: start from a valid job, spoil one detail.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// The claims of one job. What is not said here (`iss`, `aud`, `jti`, times) the issuer fills in for each token.
#[derive(Clone, Debug)]
pub struct Claims {
    said: Map<String, Value>,
    left_out: BTreeSet<String>,
}

/// The commit that every job here was started for.
pub const COMMIT: &str = "3f1c0de9a8b7c6d5e4f30123456789abcdef0123";

impl Claims {
    /// No claims at all.
    pub fn empty() -> Self {
        Self { said: Map::new(), left_out: BTreeSet::new() }
    }

    /// A job of GitHub Actions: `release.yml` of `acme/widget`, started by the tag `v1.2.0`, in the environment
    /// `pypi`.
    pub fn github() -> Self {
        let claims = json!({
            "repository": "acme/widget", "repository_owner": "acme",
            "repository_owner_id": "4411", "repository_id": "887766", "repository_visibility": "private",
            "workflow": "release", "workflow_sha": COMMIT, "job_workflow_sha": COMMIT,
            "workflow_ref": "acme/widget/.github/workflows/release.yml@refs/tags/v1.2.0",
            "job_workflow_ref": "acme/widget/.github/workflows/release.yml@refs/tags/v1.2.0",
            "ref": "refs/tags/v1.2.0", "ref_type": "tag", "ref_protected": "true", "sha": COMMIT,
            "event_name": "push", "environment": "pypi", "environment_node_id": "EN_kwDOAbCdEf",
            "actor": "maria", "actor_id": "9001", "run_id": "123456789", "run_number": "42", "run_attempt": "1",
            "head_ref": "", "base_ref": "", "runner_environment": "github-hosted", "check_run_id": "55555",
            "sub": "repo:acme@4411/widget@887766:environment:pypi",
        });
        Self::of(claims)
    }

    /// A job of GitLab CI: `.gitlab-ci.yml` of `platform/libs/widget`, started by the tag `v1.2.0`, in the
    /// environment `pypi`. `issuer` is the address of the GitLab instance.
    pub fn gitlab(issuer: &str) -> Self {
        let host = issuer.trim_start_matches("https://");
        let claims = json!({
            "sub": "project_path:platform/libs/widget:ref_type:tag:ref:v1.2.0",
            "project_path": "platform/libs/widget", "project_id": "20",
            "namespace_path": "platform/libs", "namespace_id": "72",
            "user_id": "1", "user_login": "maria", "user_email": "maria@example.org",
            "user_access_level": "maintainer",
            "job_project_id": "20", "job_project_path": "platform/libs/widget",
            "job_namespace_id": "72", "job_namespace_path": "platform/libs",
            "pipeline_id": "574", "pipeline_source": "push", "job_id": "302",
            "ref": "v1.2.0", "ref_type": "tag", "ref_path": "refs/tags/v1.2.0", "ref_protected": "true",
            "environment": "pypi", "environment_protected": "true",
            "deployment_tier": "production", "environment_action": "start",
            "runner_id": 1, "runner_environment": "self-hosted", "sha": COMMIT,
            "project_visibility": "private",
            "ci_config_ref_uri":
                format!("{host}/platform/libs/widget//.gitlab-ci.yml@refs/tags/v1.2.0"),
            "ci_config_sha": COMMIT,
        });
        Self::of(claims)
    }

    /// Says `name: value`, whatever it was before.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.left_out.remove(name);
        self.said.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves `name` out, even where the issuer would have filled it in.
    pub fn without(mut self, name: &str) -> Self {
        self.said.remove(name);
        self.left_out.insert(name.to_owned());
        self
    }

    /// GitHub: another repository, with every claim that restates it.
    pub fn repository(self, repository: &str, repository_id: &str, owner_id: &str) -> Self {
        let (owner, name) = repository.split_once('/').expect("a repository is owner/name");
        let workflow = self.workflow_file();
        self.with("repository", repository)
            .with("repository_id", repository_id)
            .with("repository_owner", owner)
            .with("repository_owner_id", owner_id)
            .with("sub", format!("repo:{owner}@{owner_id}/{name}@{repository_id}:environment:pypi"))
            .github_workflow(&workflow)
    }

    /// GitHub: started by, and running in, another workflow file.
    pub fn github_workflow(self, file: &str) -> Self {
        let place = format!("{}/.github/workflows/{file}@{}", self.text("repository"), self.text("ref"));
        let name = file.trim_end_matches(".yml").trim_end_matches(".yaml").to_owned();
        self.with("workflow_ref", place.as_str()).with("job_workflow_ref", place).with("workflow", name)
    }

    /// GitHub: started for another tag (`v2.0.0`) or, with a whole reference, for anything (`refs/heads/main`).
    pub fn github_ref(self, reference: &str) -> Self {
        let workflow = self.workflow_file();
        let whole = whole_reference(reference);
        let kind = if whole.starts_with("refs/heads/") { "branch" } else { "tag" };
        self.with("ref", whole).with("ref_type", kind).github_workflow(&workflow)
    }

    /// GitHub: another environment.
    pub fn github_environment(self, environment: &str) -> Self {
        let subject =
            self.text("sub").rsplit_once(':').map(|(repository, _)| format!("{repository}:{environment}"));
        self.with("sub", subject.expect("it ends in the environment")).with("environment", environment)
    }

    /// GitLab: another project, with every claim that restates it.
    pub fn project(self, path: &str, project_id: &str, namespace_id: &str) -> Self {
        let (namespace, _) = path.rsplit_once('/').expect("a project path is namespace/name");
        let uri = self.text("ci_config_ref_uri").to_owned();
        let (place, file) = uri.split_once("//").expect("it has the file after two slashes");
        let host = place.split('/').next().expect("split gives one at least");
        let subject =
            format!("project_path:{path}:ref_type:{}:ref:{}", self.text("ref_type"), self.text("ref"));
        self.with("sub", subject)
            .with("project_path", path)
            .with("project_id", project_id)
            .with("namespace_path", namespace)
            .with("namespace_id", namespace_id)
            .with("job_project_path", path)
            .with("job_project_id", project_id)
            .with("job_namespace_path", namespace)
            .with("job_namespace_id", namespace_id)
            .with("ci_config_ref_uri", format!("{host}/{path}//{file}"))
    }

    /// GitLab: started for another tag (`v2.0.0`) or, with a whole reference, for anything (`refs/heads/main`).
    pub fn gitlab_ref(self, reference: &str) -> Self {
        let whole = whole_reference(reference);
        let kind = if whole.starts_with("refs/heads/") { "branch" } else { "tag" };
        let short = whole.trim_start_matches("refs/heads/").trim_start_matches("refs/tags/").to_owned();
        let uri = self.text("ci_config_ref_uri").to_owned();
        let (file, _) = uri.rsplit_once('@').expect("it ends in the reference");
        let subject = format!("project_path:{}:ref_type:{kind}:ref:{short}", self.text("project_path"));
        self.with("sub", subject)
            .with("ci_config_ref_uri", format!("{file}@{whole}"))
            .with("ref", short)
            .with("ref_type", kind)
            .with("ref_path", whole)
    }

    /// GitLab: another pipeline file.
    pub fn gitlab_workflow(self, file: &str) -> Self {
        let uri = self.text("ci_config_ref_uri").to_owned();
        let (place, old) = uri.split_once("//").expect("it has the file after two slashes");
        let (_, reference) = old.rsplit_once('@').expect("it ends in the reference");
        self.with("ci_config_ref_uri", format!("{place}//{file}@{reference}"))
    }

    /// A claim's text. Panics if it is not there: the builders above need it.
    #[track_caller]
    pub fn text(&self, name: &str) -> &str {
        self.said.get(name).and_then(Value::as_str).unwrap_or_else(|| panic!("no text in the claim {name}"))
    }

    /// The payload of a token: these claims over the issuer's own `filled`, minus what is left out.
    pub fn payload(&self, filled: Value) -> Value {
        let Self { mut said, .. } = Self::of(filled);
        said.extend(self.said.clone());
        said.retain(|name, _| !self.left_out.contains(name));
        Value::Object(said)
    }

    fn workflow_file(&self) -> String {
        let place = self.text("workflow_ref");
        let (path, _) = place.split_once('@').expect("it has a reference");
        path.rsplit('/').next().expect("split gives one at least").to_owned()
    }

    fn of(claims: Value) -> Self {
        match claims {
            Value::Object(said) => Self { said, left_out: BTreeSet::new() },
            other => panic!("claims are an object, not {other}"),
        }
    }
}

fn whole_reference(reference: &str) -> String {
    if reference.starts_with("refs/") { reference.to_owned() } else { format!("refs/tags/{reference}") }
}
