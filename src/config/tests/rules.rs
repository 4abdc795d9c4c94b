//! What issuers and publishers may say, and what it comes to mean.

use super::*;

#[test]
fn a_plain_text_is_exact_and_a_pattern_is_written_as_one() {
    check(&with_publisher("tag = \"v*\""), &["a plain text is exact", "fix: write { glob = \"v*\" }"]);
    check(&whole().replace("\"release.yml\"", "\"release?.yml\""), &["{ glob = \"release?.yml\" }"]);
    check(&whole().replace("\"Billing_Core\"", "\"billing-*\""), &["{ glob = \"billing-*\" }"]);
    check(&with_publisher("tag = { glob = \"v**\" }"), &["`**` stands for whole segments"]);
    check(&with_publisher("tag = { glob = \"[0-9]*\" }"), &["there are no classes", "a list of patterns"]);
    assert!(problems(&with_publisher("tag = { globb = \"v*\" }")).contains("did you mean `glob`?"));
    loaded(&with_publisher("tag = { glob = \"v*\" }"));
    loaded(&with_publisher("tag = \"v{version}\""));
}

#[test]
fn an_owner_is_written_out_and_a_glob_over_repositories_pins_its_id() {
    let repository = |value: &str, more: &str| {
        whole().replace("repository = \"acme/billing\"", &format!("repository = {value}\n{more}"))
    };
    check(&repository("{ glob = \"acme/*\" }", ""), &["needs `repository_owner_id`"]);
    check(
        &repository("{ glob = \"acme*/billing\" }", "repository_owner_id = 4455"),
        &["the owner in `acme*/billing` must be written out"],
    );
    check(&repository("{ glob = \"**\" }", "repository_owner_id = 4455"), &["must be written out"]);
    check(&repository("\"billing\"", ""), &["`billing` is no repository"]);
    check(&repository("\"acme/billing/x\"", ""), &["is no repository"]);
    check(&repository("\"\"", ""), &["this text is empty"]);
    loaded(&repository("{ glob = \"acme/*\" }", "repository_owner_id = 4455"));
    loaded(&repository("[\"acme/a\", \"acme/b\"]", ""));
}

#[test]
fn tag_branch_and_ref_exclude_each_other() {
    check(&with_publisher("tag = \"v1\"\nbranch = \"main\""), &["excludes"]);
    check(&with_publisher("ref = \"refs/heads/main\"\nbranch = \"main\""), &["excludes"]);
}

#[test]
fn ids_are_numbers_or_decimal_texts() {
    for id in ["4455", "\"4455\"", "[4455, \"66\"]"] {
        loaded(&with_publisher(&format!("repository_owner_id = {id}")));
    }
    for id in ["-1", "\"+1\"", "\"01\"", "\" 1\"", "\"acme\"", "1.5", "true"] {
        let text = with_publisher(&format!("repository_owner_id = {id}"));
        assert!(problems(&text).ends_with("1 problem in the configuration"), "{id}");
    }
}

#[test]
fn a_publisher_must_say_whose_workflow_it_trusts() {
    check(&whole().replace("workflow = \"release.yml\"", ""), &["`workflow` is missing"]);
    check(&whole().replace("repository = \"acme/billing\"", ""), &["`repository` is missing"]);
    check(&whole().replace("projects = [\"Billing_Core\"]", ""), &["`projects` is missing"]);
    check(&whole().replace("projects = [\"Billing_Core\"]", "projects = []"), &["this list is empty"]);
    check(&whole().replace("\"Billing_Core\"", "\"billing core\""), &["is not a project name"]);
    check(
        &whole().replace("\"Billing_Core\"", "{ glob = \"*\" }"),
        &["cannot be held against project names"],
    );
    check(&whole().replace("\"Billing_Core\"", "{ glob = \"Billing_*\" }"), &["write normalised names"]);
    check(&with_publisher("project_path = \"a/b\""), &["have no `project_path`", "fix: use repository"]);
    check(
        &with_publisher("enviroment = \"pypi\""),
        &["unknown key `enviroment`", "did you mean `environment`?"],
    );
    check(&with_publisher("expires = \"tomorrow\""), &["this is no date"]);
    check(&with_publisher("claims = { sub = \"x\" }"), &["`sub` is not compared"]);
    check(&with_publisher("claims = { actor = 1.5 }"), &["a claim is compared with"]);
    loaded(&with_publisher(
        "expires = 2027-06-30\nclaims = { actor = [\"maria\", \"kim\"], runner_environment = \"github-hosted\" }",
    ));
}

#[test]
fn names_refer_to_what_is_there() {
    check(&whole().replace("issuer = \"github\"", "issuer = \"gitlab\""), &["there is no issuer `gitlab`"]);
    check(&whole().replace("index = \"prod\"", "index = \"stage\""), &["there is no index `stage`"]);
    check(&format!("{}{PUBLISHER}", whole()), &["the name `billing` is taken"]);
    check(&whole().replace("name = \"billing\"", "name = \"bill ing\""), &["is not a usable name"]);
}

#[test]
fn a_generic_issuer_names_what_tells_its_identities_apart() {
    let generic = |issuer: &str, publisher: &str| {
        format!(
            "{GENERAL}{INDEX}[[issuer]]\nname = \"jenkins\"\npreset = \"generic\"\nurl = \"https://jenkins.corp.example/oidc\"\n{issuer}\n\
             [[publisher]]\nname = \"legacy\"\nissuer = \"jenkins\"\nindex = \"prod\"\nprojects = [\"legacy\"]\n{publisher}\n"
        )
    };
    let identity = "identity_claims = [\"build_job\"]";
    let pinned = "claims = { build_job = \"release/legacy\" }";
    loaded(&generic(identity, pinned));
    check(&generic("", "claims = { sub = \"x\" }"), &["needs `identity_claims`"]);
    check(
        &generic("identity_claims = [\"sub\"]", "claims = { sub = \"x\" }"),
        &["do not tell one job from another"],
    );
    check(&generic(identity, "claims = { branch = \"main\" }"), &["`build_job` is not pinned"]);
    check(&generic(identity, "claims = { build_job = { glob = \"release/*\" } }"), &["compared exactly"]);
    check(&generic(identity, &format!("{pinned}\nworkflow = \"x.yml\"")), &["have no `workflow`"]);
    check(&generic(&format!("{identity}\nalgorithms = [\"HS256\"]"), pinned), &["HS256"]);
    check(&generic(identity, pinned).replace("https://jenkins", "http://jenkins"), &["https"]);
}

/// A configuration with one issuer of a preset and one publisher of it.
fn of_preset(preset: &str, issuer: &str, publisher: &str) -> String {
    format!(
        "{GENERAL}{INDEX}[[issuer]]\nname = \"ci\"\npreset = \"{preset}\"\n{issuer}\n\
         [[publisher]]\nname = \"widget\"\nissuer = \"ci\"\nindex = \"prod\"\nprojects = [\"widget\"]\n{publisher}\n"
    )
}

const AZURE_URL: &str = "url = \"https://vstoken.dev.azure.com/5c1f8e0a-3b7d-4a2e-9c41-6f0d2b8a7e13\"\n";
const AZURE_PIPELINE: &str = "project_id = \"e2a7c9d4-5b16-4f83-8a02-1d9e6c3b7f50\"\npipeline_id = 17";

#[test]
fn tokens_that_are_not_made_for_the_gateway_are_taken_only_on_request() {
    let azure = |lines: &str| of_preset("azure-devops", &format!("{AZURE_URL}{lines}"), AZURE_PIPELINE);
    check(&azure(""), &["it is `api://AzureADTokenExchange` for everybody", "add fixed_audience = true"]);
    check(&azure("fixed_audience = false"), &["it is `api://AzureADTokenExchange` for everybody"]);
    check(&azure("audience = \"api://x\""), &["not made for this gateway", "add fixed_audience = true"]);
    check(&azure("fixed_audience = \"yes\""), &["true or false is expected here"]);
    let audience = |text: &str| loaded(text).issuers[0].audience.clone();
    assert_eq!(audience(&azure("fixed_audience = true")).unwrap(), "api://AzureADTokenExchange");
    assert_eq!(audience(&azure("fixed_audience = true\naudience = \"api://x\"")).unwrap(), "api://x");

    let url = "url = \"https://acme.semaphoreci.com\"\n";
    let project = "project_id = \"936a5312-a3b8-4921-8b3f-2cec8baac574\"";
    let semaphore = |lines: &str| of_preset("semaphore", &format!("{url}{lines}"), project);
    check(&semaphore(""), &["it is `https://acme.semaphoreci.com` for everybody"]);
    assert_eq!(audience(&semaphore("fixed_audience = true")).unwrap(), "https://acme.semaphoreci.com");
    assert_eq!(audience(&semaphore("fixed_audience = false")), None);

    let github =
        |lines: &str| whole().replace("preset = \"github\"", &format!("preset = \"github\"\n{lines}"));
    check(&github("audience = \"pypi\""), &["not made for this gateway"]);
    check(&github("fixed_audience = true"), &["the audience does not stand here"]);
    assert_eq!(
        audience(&github("fixed_audience = true\naudience = \"https://github.com/acme\"")).unwrap(),
        "https://github.com/acme"
    );
    assert_eq!(audience(&whole()), None);
}

#[test]
fn a_serving_issuer_expects_its_own_audience_or_that_of_the_gateway() {
    let folder = folder();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let expected = |text: &str| {
        let settings = load_text(folder.path(), text).unwrap();
        let clock = Clock::still(Timestamp(1_767_225_600));
        let setup = settings.start(None, &clock, runtime.handle()).unwrap();
        setup.issuers[0].expected(&setup.audience).audience.to_owned()
    };
    let azure = of_preset("azure-devops", &format!("{AZURE_URL}fixed_audience = true"), AZURE_PIPELINE);
    assert_eq!(expected(&azure), "api://AzureADTokenExchange");
    assert_eq!(expected(&whole()), "pypi.corp.example");
}

#[test]
fn an_issuer_url_has_the_form_of_its_provider() {
    let publisher = "repository = \"acme/widget\"\nworkflow = \"release.yml\"";
    let github = |url: &str| of_preset("github-enterprise-server", &format!("url = \"{url}\""), publisher);
    loaded(&github("https://github.corp.example/_services/token"));
    check(
        &github("https://github.corp.example/_services/token/"),
        &["no github-enterprise-server issuer has the URL", "https://*/_services/token", "without a slash"],
    );
    check(&github("https://token.actions.githubusercontent.com"), &["no github-enterprise-server issuer"]);
    check(&of_preset("forgejo", "", publisher), &["`url` is missing"]);
    check(
        &of_preset("forgejo", "url = \"https://forgejo.corp.example\"", publisher),
        &["https://*/api/actions"],
    );
}

#[test]
fn what_identifies_is_written_out_in_the_form_of_its_provider() {
    let buildkite = |lines: &str| of_preset("buildkite", "", lines);
    let organization = "organization_id = \"0184990a-477b-4fa8-9968-496074483c77\"\n";
    loaded(&buildkite(&format!("{organization}pipeline = \"widget\"")));
    loaded(&buildkite(&format!("{organization}pipeline = {{ glob = \"release-*\" }}")));
    loaded(&buildkite(&format!("{organization}pipeline_id = \"0184990a-4782-42b5-afc1-16715b10b1a0\"")));
    check(&buildkite(organization), &["`pipeline` or `pipeline_id` is missing"]);
    check(&buildkite("pipeline = \"widget\""), &["`organization_id` is missing"]);
    for (id, words) in [
        ("\"acme-inc\"", "`acme-inc` is no UUID in lower case"),
        ("\"0184990A-477B-4FA8-9968-496074483C77\"", "in lower case"),
        ("{ glob = \"*\" }", "never a pattern"),
        ("[\"0184990a-477b-4fa8-9968-496074483c77\", { glob = \"0*\" }]", "never a pattern"),
        ("[]", "this list is empty"),
        ("17", "a text is expected here"),
    ] {
        check(&buildkite(&format!("organization_id = {id}\npipeline = \"widget\"")), &[words]);
    }
    let google = |email: &str| of_preset("google", "", &format!("email = {email}"));
    loaded(&google("\"publisher@acme-build.iam.gserviceaccount.com\""));
    check(&google("{ glob = \"*@acme-build.iam.gserviceaccount.com\" }"), &["never a pattern"]);
    check(&google("\"*@acme-build.iam.gserviceaccount.com\""), &["is no plain text"]);
    let url = "url = \"https://api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc\"";
    let bitbucket = |id: &str| of_preset("bitbucket", url, &format!("repository_uuid = \"{id}\""));
    loaded(&bitbucket("{6b1f0c9e-2d4a-4e8b-9f37-0a5c8d1e2f34}"));
    check(&bitbucket("6b1f0c9e-2d4a-4e8b-9f37-0a5c8d1e2f34"), &["in braces", "`repositoryUuid`"]);
    check(
        &google("\"a@b\"\nclaims = { sub = 1 }\nbranch = \"x\""),
        &["have no `branch`", "use email, subject"],
    );
}

#[test]
fn forgejo_owners_are_pinned_as_those_of_github_are() {
    let url = "url = \"https://forgejo.corp.example/api/actions\"";
    let forgejo = |lines: &str| of_preset("forgejo", url, &format!("workflow = \"release.yml\"\n{lines}"));
    loaded(&forgejo("repository = { glob = \"acme/*\" }\nrepository_owner_id = 12"));
    check(&forgejo("repository = { glob = \"acme/*\" }"), &["needs `repository_owner_id`"]);
    check(&forgejo("repository = { glob = \"*/x\" }\nrepository_owner_id = 12"), &["must be written out"]);
    check(&forgejo("repository = \"acme\""), &["is no repository"]);
}

#[test]
fn what_every_publisher_of_github_implies() {
    let settings = loaded(&whole());
    let keys: Vec<&str> = settings.publishers[0].all_conditions().map(|condition| &*condition.key).collect();
    assert_eq!(keys, ["repository", "workflow", "event", "job_workflow"]);
    let issuer: &IssuerName = &settings.publishers[0].issuer;
    assert_eq!(issuer.as_str(), "github");
}

#[test]
fn a_publisher_can_narrow_events_refs_versions_and_workflows() {
    loaded(&with_publisher(
        "events = [\"schedule\"]\nprotected = true\nversions = \"dev-only\"\nmode = \"observe\"",
    ));
    check(
        &with_publisher("events = [\"pull_request_target\"]"),
        &["strangers can start a run", "dangerous_events = true"],
    );
    loaded(&with_publisher("events = [\"pull_request_target\"]\ndangerous_events = true"));
    check(&with_publisher("dangerous_events = true"), &["no effect without `events`"]);
    check(&with_publisher("protected = \"yes\""), &["true or false is expected"]);
    check(&with_publisher("versions = \"all\""), &["\"dev-only\""]);
    check(&with_publisher("mode = \"audit\""), &["\"enforce\", \"observe\""]);
    check(
        &with_publisher("job_workflow = \"publish.yml\""),
        &["owner/repository/.github/workflows/file.yml"],
    );
    check(
        &with_publisher("job_workflow = { glob = \"*/shared/.github/workflows/publish.yml\" }"),
        &["the owner written out"],
    );
    let settings = loaded(&with_publisher(
        "job_workflow = \"acme/shared/.github/workflows/publish.yml\"\nevents = [\"push\"]",
    ));
    let keys: Vec<&str> = settings.publishers[0].all_conditions().map(|condition| &*condition.key).collect();
    assert_eq!(keys, ["repository", "workflow", "job_workflow", "event"]);
}

#[test]
fn an_issuer_can_require_something_of_every_publisher() {
    let required = |text: &str| {
        whole().replace("preset = \"github\"", &format!("preset = \"github\"\nrequire = {text}"))
    };
    let settings = loaded(&required("{ repository_owner_id = [4455, \"66\"] }"));
    let keys: Vec<&str> = settings.publishers[0].all_conditions().map(|condition| &*condition.key).collect();
    assert_eq!(keys, ["repository", "workflow", "repository_owner_id", "event", "job_workflow"]);
    assert!(
        !settings.publishers[0].implied[0].identifies,
        "what an issuer requires proves nothing about a repository"
    );
    check(&required("{ repository_ownerid = 1 }"), &["did you mean `repository_owner_id`?"]);
    check(&required("{ repository = \"acme/*\" }"), &["a plain text is exact"]);
}

#[test]
fn any_project_needs_the_consent_of_the_index() {
    let any = whole().replace("projects = [\"Billing_Core\"]", "projects = \"any\"");
    check(&any, &["does not allow publishers of any project", "any_project = true"]);
    loaded(&any.replace("upload_path", "any_project = true\nupload_path"));
    check(&whole().replace("\"Billing_Core\"", "\"billing\", \"any\""), &["`any` stands alone"]);
}

#[test]
fn a_project_table_narrows_and_names_what_is_there() {
    let project = |lines: &str| {
        with_publisher(&format!("[[project]]\nindex = \"prod\"\nname = \"Billing.Core\"\n{lines}"))
    };
    let settings =
        loaded(&project("only = [\"billing\"]\npasswords = \"refuse\"\npasswords_from = 2027-01-15"));
    assert_eq!(settings.restrictions.len(), 1);
    check(&project("only = [\"billling\"]"), &["there is no publisher `billling`"]);
    check(&project(""), &["it restricts nothing"]);
    check(&project("only = [\"billing\"]\npasswords_from = 2027-01-15"), &["no effect without `passwords`"]);
    check(&project("passwords = \"never\""), &["\"allow\", \"warn\", \"refuse\""]);
    check(
        &project("passwords = \"warn\"").replace("index = \"prod\"\nname", "index = \"stage\"\nname"),
        &["there is no index `stage`"],
    );
}

#[test]
fn an_issuer_can_require_events_and_claims() {
    let required = |text: &str| {
        whole().replace("preset = \"github\"", &format!("preset = \"github\"\nrequire = {text}"))
    };
    let settings =
        loaded(&required("{ events = [\"push\"], claims = { runner_environment = \"github-hosted\" } }"));
    let keys: Vec<&str> = settings.publishers[0].implied.iter().map(|condition| &*condition.key).collect();
    assert_eq!(keys, ["event", "runner_environment", "event", "job_workflow"]);
}
