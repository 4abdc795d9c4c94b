//! What only one provider, or some of them, do.

use super::*;

#[test]
fn a_google_address_must_be_verified() {
    let google = Sample::named("google");
    for spoiled in [json!(false), json!("true"), json!(1)] {
        google.refused(&google.claims(&json!({"email_verified": spoiled})), "email_verified");
    }
    assert_eq!(google.good().fact("subject"), Some("112233445566778899001"));
}

#[test]
fn activestate_publishes_with_one_builder_and_says_everything_twice() {
    let activestate = Sample::named("activestate");
    activestate.refused(&activestate.claims(&json!({"builder": "other"})), "builder");
    for sub in ["org:acme:project", "org:acme", "org:acme:project:widget2", "project:widget:org:acme", ""] {
        activestate.refused(&activestate.claims(&json!({"sub": sub})), "sub");
    }
    assert!(activestate.with(&json!({"sub": "org:acme:project:widget:more"})).is_ok());
    let two_faced =
        json!({"organization": "acme:project:widget", "sub": "org:acme:project:widget:project:widget"});
    activestate.refused(&activestate.claims(&two_faced), "organization");
}

#[test]
fn circleci_jobs_with_a_shell_and_those_of_another_organisation_are_refused() {
    let circleci = Sample::named("circleci");
    for spoiled in [json!(true), json!("false"), json!(0)] {
        circleci.refused(&circleci.claims(&json!({"oidc.circleci.com/ssh-rerun": spoiled})), "ssh-rerun");
    }
    let organization = circleci.claims["oidc.circleci.com/org-id"].as_str().unwrap();
    let own_issuer = format!("https://oidc.circleci.com/org/{organization}");
    assert!(circleci.with(&json!({"iss": own_issuer})).is_ok());
    let other = "https://oidc.circleci.com/org/00000000-21a3-4373-940a-06233d826661";
    circleci.refused(&circleci.claims(&json!({"iss": other})), "org-id");
    let contexts = |list: Value| circleci.with(&json!({"oidc.circleci.com/context-ids": list})).unwrap();
    assert_eq!(contexts(json!(["a", "b"])).fact("context_id"), None);
    assert_eq!(contexts(json!([])).fact("context_id"), None);
    let webhook = json!({"oidc.circleci.com/vcs-origin": null, "oidc.circleci.com/vcs-ref": null});
    assert_eq!(circleci.with(&webhook).unwrap().fact("repository"), None);
}

#[test]
fn a_build_of_a_tag_is_no_build_of_a_branch() {
    let buildkite = Sample::named("buildkite");
    assert_eq!(buildkite.good().fact("branch"), None);
    assert_eq!(buildkite.good().fact("ref"), Some("refs/tags/v1.2.0"));
    let branch = buildkite.with(&json!({"build_tag": "", "build_branch": "v1.2.0"})).unwrap();
    assert_eq!((branch.fact("tag"), branch.fact("branch")), (None, Some("v1.2.0")));
    assert_eq!(branch.fact("ref"), Some("refs/heads/v1.2.0"));
    assert!(buildkite.with(&json!({"sub": "shaped:by:the:job"})).is_ok());
}

#[test]
fn only_pipelines_of_the_issuers_own_organisation_are_azure_identities() {
    let azure = Sample::named("azure-devops");
    for sub in ["sc://acme/widget/connection", "acme", ""] {
        azure.refused(&azure.claims(&json!({"sub": sub})), "sub");
    }
    assert_eq!(azure.preset.fixed_audience("x").as_deref(), Some("api://AzureADTokenExchange"));
}

#[test]
fn bitbucket_ids_have_braces() {
    let bitbucket = Sample::named("bitbucket");
    for claim in ["repositoryUuid", "workspaceUuid", "deploymentEnvironmentUuid"] {
        let bare = bitbucket.claims[claim].as_str().unwrap().trim_matches(['{', '}']);
        bitbucket.refused(&bitbucket.claims(&json!({ claim: bare })), claim);
    }
    let repository = bitbucket.claims["repositoryUuid"].as_str().unwrap();
    let undeployed = json!({"deploymentEnvironmentUuid": null, "sub": format!("{repository}:{{step}}")});
    assert_eq!(bitbucket.with(&undeployed).unwrap().fact("environment_uuid"), None);
}

#[test]
fn forgejo_workflows_lie_in_their_own_folder_and_ids_may_be_missing() {
    let forgejo = Sample::named("forgejo");
    for folder in [".github/workflows", ".gitea/workflows", ".forgejo", ".forgejo/workflows/sub"] {
        let workflow_ref = format!("acme/widget/{folder}/release.yml@refs/tags/v1.2.0");
        forgejo.refused(&forgejo.claims(&json!({"workflow_ref": workflow_ref})), "workflow_ref");
    }
    let older = json!({"repository_id": null, "repository_owner_id": null, "sub": "repo:acme/widget:ref:refs/tags/v1.2.0"});
    let older = forgejo.with(&older).unwrap();
    assert_eq!((older.fact("repository"), older.fact("repository_id")), (Some("acme/widget"), None));
}

#[test]
fn a_service_account_is_what_the_subject_says() {
    let kubernetes = Sample::named("kubernetes");
    let account = |account: Value| json!({"kubernetes.io": {"namespace": "ci", "serviceaccount": account}});
    for (spoiled, claim) in [
        (json!({"name": "publisher"}), "kubernetes.io.serviceaccount.uid"),
        (json!({"name": "publisher", "uid": null}), "kubernetes.io.serviceaccount.uid"),
        (json!({"uid": "f5720c1d"}), "kubernetes.io.serviceaccount.name"),
        (json!({"name": 1, "uid": "f5720c1d"}), "kubernetes.io.serviceaccount.name"),
        (json!("publisher"), "kubernetes.io.serviceaccount"),
        (Value::Null, "kubernetes.io.serviceaccount"),
    ] {
        kubernetes.refused(&kubernetes.claims(&account(spoiled)), claim);
    }
    // One name that holds another's `:`.
    let two_faced = json!({
        "sub": "system:serviceaccount:ci:a:b",
        "kubernetes.io": {"namespace": "ci:a", "serviceaccount": {"name": "b", "uid": "f5720c1d"}},
    });
    kubernetes.refused(&kubernetes.claims(&two_faced), "kubernetes.io.namespace");
    let issuer_with_slash = kubernetes.with(&json!({"iss": "https://oidc.example/id/"}));
    assert!(issuer_with_slash.is_ok());
}

#[test]
fn a_pull_request_is_no_branch_and_no_default_event() {
    let semaphore = Sample::named("semaphore");
    let request = semaphore.with(&semaphore.other["event"]).unwrap();
    assert_eq!((request.fact("tag"), request.fact("branch")), (None, None));
    assert!(!semaphore.preset.default_events.contains(&request.fact("event").unwrap()));
    let disguised =
        json!({"ref_type": "pull-request", "ref": "refs/heads/main", "branch": "main", "tag": ""});
    assert_eq!(semaphore.with(&disguised).unwrap().fact("branch"), None);
    for job in ["debug_job", "project_debug_job", ""] {
        semaphore.refused(&semaphore.claims(&json!({"job_type": job})), "job_type");
    }
    let codefresh = Sample::named("codefresh");
    let request = codefresh.with(&codefresh.other["event"]).unwrap();
    assert!(!codefresh.preset.default_events.contains(&request.fact("event").unwrap()));
    for (absent, event) in [
        (json!({}), "manual"),
        (json!({"initiator": null}), "push"),
        (json!({"initiator": null, "scm_repo_url": null}), "other"),
        (json!({"scm_repo_url": null}), "manual"),
    ] {
        assert_eq!(codefresh.with(&absent).unwrap().fact("event"), Some(event));
    }
}

#[test]
fn an_issuer_has_the_url_that_its_provider_gives() {
    for (preset, good, bad) in [
        (
            "github-enterprise-server",
            vec![
                "https://ghe.corp.example/_services/token",
                "https://ghe.corp.example:8443/_services/token",
                "https://token.actions.githubusercontent.com/acme",
                "https://token.actions.acme.ghe.com",
            ],
            vec![
                "https://token.actions.githubusercontent.com",
                "https://ghe.corp.example",
                "https://ghe.corp.example/_services/token/",
                "https://token.actions.githubusercontent.com/",
            ],
        ),
        (
            "circleci",
            vec!["https://oidc.circleci.com", "https://oidc.circleci.com/org/f0a10872"],
            vec!["https://oidc.circleci.com/", "https://oidc.circleci.com/org/"],
        ),
        (
            "azure-devops",
            vec!["https://vstoken.dev.azure.com/5c1f8e0a"],
            vec!["https://vstoken.dev.azure.com", "https://login.microsoftonline.com/x/v2.0"],
        ),
        (
            "bitbucket",
            vec!["https://api.bitbucket.org/2.0/workspaces/acme/pipelines-config/identity/oidc"],
            vec!["https://api.bitbucket.org", "https://bitbucket.org/acme"],
        ),
        (
            "forgejo",
            vec!["https://f.example/api/actions", "https://f.example/git/api/actions"],
            vec!["https://f.example", "https://f.example/api/actions/"],
        ),
        ("semaphore", vec!["https://acme.semaphoreci.com"], vec!["https://acme.semaphoreci.com/x"]),
        ("buildkite", vec!["https://127.0.0.1:8443"], vec![]),
    ] {
        let preset = Preset::by_name(preset).unwrap();
        assert!(good.iter().all(|url| preset.fits_issuer(url)), "{}", preset.name);
        assert!(!bad.iter().any(|url| preset.fits_issuer(url)), "{}", preset.name);
    }
}

#[test]
fn people_read_what_is_wrong() {
    let mut texts = String::new();
    for (preset, changes) in [
        ("google", json!({"email_verified": "true"})),
        ("activestate", json!({"sub": "org:acme:project:gadget"})),
        ("circleci", json!({"oidc.circleci.com/ssh-rerun": true})),
        ("circleci", json!({"iss": "https://oidc.circleci.com/org/00000000"})),
        ("buildkite", json!({"organization_slug": "evil-inc"})),
        ("azure-devops", json!({"sub": "sc://acme/widget/azure"})),
        ("bitbucket", json!({"repositoryUuid": "6b1f0c9e-2d4a-4e8b-9f37-0a5c8d1e2f34"})),
        ("forgejo", json!({"workflow_ref": "acme/widget/.github/workflows/release.yml@refs/tags/v1.2.0"})),
        ("kubernetes", json!({"kubernetes.io": {"namespace": "ci"}})),
        ("semaphore", json!({"job_type": "debug_job"})),
        ("codefresh", json!({"account_id": null})),
    ] {
        let error = Sample::named(preset).with(&changes).unwrap_err();
        writeln!(texts, "{preset}: {error}").unwrap();
    }
    insta::assert_snapshot!(texts, @"
    google: Check failed for claim 'email_verified': it is not the JSON value true
    activestate: Check failed for claim 'sub': 'org:acme:project:gadget' does not agree with organization and project 'org:acme:project:widget'
    circleci: Check failed for claim 'oidc.circleci.com/ssh-rerun': it is not the JSON value false
    circleci: Check failed for claim 'oidc.circleci.com/org-id': 'f0a10872-21a3-4373-940a-06233d826661' does not agree with iss '00000000'
    buildkite: Check failed for claim 'sub': 'organization:acme-inc:pipeline:widget-release:ref:refs/tags/v1.2.0:commit:9f3182061f1e2cca4702c368cbc039b7dc9d4485:step:publish' does not agree with organization_slug and pipeline_slug 'organization:evil-inc:pipeline:widget-release'
    azure-devops: Check failed for claim 'sub': it is not of the form `p://…`, a pipeline
    bitbucket: Check failed for claim 'repositoryUuid': it is not a UUID in braces
    forgejo: The workflow_ref claim does not match, expecting one of ['acme/widget/.forgejo/workflows/<file>@refs/tags/v1.2.0', 'acme/widget/.forgejo/workflows/<file>@3f1c0de93f1c0de93f1c0de93f1c0de93f1c0de9'], got 'acme/widget/.github/workflows/release.yml@refs/tags/v1.2.0'
    kubernetes: Missing claim 'kubernetes.io.serviceaccount'
    semaphore: Check failed for claim 'job_type': it is not `pipeline_job`
    codefresh: Missing claim 'account_id'
    ");
}
