//! The configuration changes while the gateway runs: whole or not at all, and nobody is interrupted.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::claims::Claims;
use crate::support::gateway::{AUDIENCE, Setup, binary};
use crate::support::issuer::{Endpoint, Fault, Issuer};
use crate::support::package::Package;
use crate::support::process::free_port;
use crate::support::raw::{Answer, Form, Raw, Wire, basic};
use crate::support::recorder::Recorder;
use crate::support::stage::{RULES, Stage};
use crate::support::tls::Authority;

const RELOADED: &str = "reloaded the configuration";
const REFUSED: &str = "the new configuration is refused, the old one stays in force";
const PATIENCE: Duration = Duration::from_secs(15);

/// A gateway in front of a recorder. Its configuration is a file that tests change.
struct Scene {
    stage: Stage,
    recorder: Recorder,
    id: u32,
}

impl Scene {
    fn new() -> Self {
        let recorder = Recorder::start();
        let declare = |setup: Setup| {
            let setup = setup.upstream("recorder", "generic", &recorder.url());
            setup.index("prod", "recorder", "/root/prod/").also("[limits]\nmint_per_minute = 1000000")
        };
        let mut stage = Stage::set(declare, "/root/prod/");
        let id = stage.gateway.server().id();
        Self { stage, recorder, id }
    }

    fn config(&self) -> String {
        fs::read_to_string(self.stage.gateway.config_file()).unwrap()
    }

    /// Puts a changed configuration in place of the old one, as editors and deployments do.
    fn replace(&self, from: &str, to: &str) {
        let config = self.config();
        assert!(config.contains(from), "`{from}` is not in\n{config}");
        replace_file(&self.stage.gateway.config_file(), &config.replace(from, to));
    }

    /// Asks for a reload and waits until it has happened.
    #[track_caller]
    fn reload(&self) {
        let before = self.count(RELOADED);
        self.hang_up();
        self.wait("reloaded", || self.count(RELOADED) > before);
    }

    /// Asks for a reload that is refused, and waits for everything that is said about it.
    #[track_caller]
    fn reload_is_refused(&self, words: &[&str]) {
        let before = self.log().matches(REFUSED).count();
        self.hang_up();
        let said = |log: &str| log.splitn(before + 2, REFUSED).nth(before + 1).map(str::to_owned);
        self.wait("refused", || {
            said(&self.log()).is_some_and(|said| words.iter().all(|word| said.contains(word)))
        });
    }

    fn hang_up(&self) {
        let status = Command::new("kill").args(["-s", "HUP", &self.id.to_string()]).status().unwrap();
        assert!(status.success());
    }

    fn log(&self) -> String {
        self.stage.gateway.log().join("\n")
    }

    fn count(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    #[track_caller]
    fn wait(&self, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < deadline, "not {what} after {PATIENCE:?}:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What `check` says: the hash that audit lines name the present files by.
    fn hash(&self) -> String {
        let config = self.stage.gateway.config_file();
        let output = Command::new(binary()).arg("check").arg("--config").arg(config).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split("configuration ").nth(1).unwrap().split(':').next().unwrap().to_owned()
    }

    fn jwt(&self) -> String {
        self.stage.github.token(&Claims::github(), AUDIENCE)
    }

    fn token(&self) -> String {
        self.stage.gateway.upload_token(&self.stage.github, &Claims::github())
    }

    fn mint(&self) -> u16 {
        self.stage.gateway.mint(&self.jwt()).status
    }

    fn upload(&self, token: &str) -> Answer {
        self.stage.gateway.ask(&upload(token))
    }

    /// What the upstream was shown with the latest upload.
    fn shown(&self) -> String {
        self.recorder.requests().last().unwrap().header("authorization").unwrap()
    }
}

fn upload(token: &str) -> Raw {
    let form = Form::uv(&Package::wheel("acme-widget", "1.2.0"));
    Raw::new("POST /root/prod/").header("Authorization", basic("__token__", token)).form(&form)
}

fn replace_file(path: &Path, text: &str) {
    let new = path.with_file_name(".new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, path).unwrap();
}

/// In this configuration the job of the tests may not publish.
const OTHERS: (&str, &str) = ("workflow = \"release.yml\"", "workflow = \"other.yml\"");

#[test]
fn a_new_publisher_is_let_in_with_the_token_that_was_refused_before() {
    let scene = Scene::new();
    scene.replace(OTHERS.0, OTHERS.1);
    scene.reload();
    let jwt = scene.jwt();
    assert_eq!(scene.stage.gateway.mint(&jwt).status, 422);
    scene.replace(OTHERS.1, OTHERS.0);
    scene.reload();
    assert_eq!(scene.stage.gateway.mint(&jwt).status, 200);
    // What was used is remembered across reloads.
    scene.reload();
    assert_eq!(scene.stage.gateway.mint(&jwt).status, 422);
}

#[test]
fn the_upload_tokens_of_a_removed_publisher_end_with_the_reload() {
    let scene = Scene::new();
    let token = scene.token();
    assert_eq!(scene.upload(&token).status, 200);
    let config = scene.config();
    let removed = config.replace(RULES.trim(), "");
    assert_ne!(removed, config);
    replace_file(&scene.stage.gateway.config_file(), &removed);
    scene.reload();
    assert_eq!(scene.upload(&token).status, 403);
    assert_eq!(scene.recorder.requests().len(), 1);

    replace_file(&scene.stage.gateway.config_file(), &config);
    scene.reload();
    assert_eq!(scene.upload(&token).status, 200);
}

#[test]
fn a_broken_file_changes_nothing_and_every_problem_is_told() {
    let scene = Scene::new();
    let hash = scene.hash();
    let good = scene.config();
    for (from, to, words) in [
        ("workflow = ", "worfklow = ", &["unknown key `worfklow`", "did you mean `workflow`?"][..]),
        ("[[index]]", "[[index", &["not valid TOML"]),
        ("\"acme/widget\"", "\"acme/*\"", &["acme/*", "glob"]),
        ("secrets/recorder", "secrets/nobody", &["secrets/nobody"]),
        ("kind = \"generic\"", "kind = \"generi\"\nhost = \"any\"", &["`generi` is not", "`any` is not"]),
        ("name = \"widget-gitlab\"", "name = \"widget-github\"", &["`widget-github` is taken"]),
    ] {
        scene.replace(from, to);
        scene.reload_is_refused(words);
        assert_eq!(scene.mint(), 200, "the old configuration serves on");
        replace_file(&scene.stage.gateway.config_file(), &good);
    }
    let lines = scene.stage.gateway.audit_lines();
    assert!(lines.iter().all(|line| line["config"] == hash), "{lines:?}");
    assert_eq!(scene.count(RELOADED), 0);
    scene.reload();
}

#[test]
fn rules_that_fail_their_own_tests_do_not_come_into_force() {
    let scene = Scene::new();
    let claims = scene.stage.gateway.directory().join("release.json");
    fs::write(&claims, Claims::github().payload(serde_json::json!({"jti": "1"})).to_string()).unwrap();
    let test = "[[test]]\nname = \"the release may be published\"\nissuer = \"github\"\n\
                claims_file = \"release.json\"\nexpect = \"allow\"\n\n[[upstream]]";
    scene.replace("[[upstream]]", test);
    scene.reload();
    scene.replace("workflow = \"release.yml\"", "workflow = \"other.yml\"");
    scene.reload_is_refused(&["the release may be published", "other.yml"]);
    assert_eq!(scene.mint(), 200, "the rules that passed serve on");
}

#[test]
fn what_needs_a_restart_is_refused_by_name() {
    let scene = Scene::new();
    let good = scene.config();
    let address = scene.stage.gateway.url().strip_prefix("https://").unwrap().to_owned();
    let other = SocketAddr::from(([127, 0, 0, 1], free_port())).to_string();
    for (from, to, key) in [
        (format!("address = \"{address}\""), format!("address = \"{other}\""), "listen.address"),
        ("public_url".to_owned(), "state_dir = \"elsewhere\"\npublic_url".to_owned(), "state_dir"),
        ("[listen]".to_owned(), "[store]\nurl = \"memory:\"\n[listen]".to_owned(), "store.url"),
        ("audit.jsonl".to_owned(), "other.jsonl".to_owned(), "audit.file"),
    ] {
        scene.replace(&from, &to);
        // Nothing else of such a file comes into force, either.
        scene.replace(OTHERS.0, OTHERS.1);
        scene.reload_is_refused(&[&format!("`{key}` has changed, which needs a restart")]);
        assert_eq!(scene.mint(), 200);
        replace_file(&scene.stage.gateway.config_file(), &good);
    }
    assert!(!scene.stage.gateway.directory().join("elsewhere").exists());
}

#[test]
fn changed_files_are_noticed_without_a_signal() {
    let scene = Scene::new();
    let (gateway, directory) = (&scene.stage.gateway, scene.stage.gateway.directory().to_owned());
    fs::create_dir(directory.join("publishers.d")).unwrap();
    let without = scene.config().replace(RULES.trim(), "");
    replace_file(&gateway.config_file(), &format!("include = [\"publishers.d/*.toml\"]\n{without}"));
    scene.wait("refusing", || scene.mint() == 422);

    let token = {
        fs::write(directory.join("publishers.d/widget.toml"), RULES).unwrap();
        scene.wait("minting", || scene.mint() == 200);
        scene.token()
    };
    assert_eq!(scene.upload(&token).status, 200);
    let password = directory.join("secrets/recorder");
    replace_file(&password, "rotated\n");
    scene.wait("using the new password", || {
        scene.upload(&token);
        scene.shown() == basic("indexgate", "rotated")
    });
    // A file that is not what it should be is told once, not at each look.
    fs::write(&password, "").unwrap();
    scene.wait("refused", || scene.count("does not hold one line of text") == 1);
    fs::write(&password, "restored\n").unwrap();
    scene.wait("using the restored password", || {
        scene.upload(&token);
        scene.shown() == basic("indexgate", "restored")
    });
    assert_eq!((scene.count(RELOADED), scene.count(REFUSED)), (4, 1), "{}", scene.log());
}

#[test]
fn half_a_file_is_never_in_force() {
    let scene = Scene::new();
    let path = scene.stage.gateway.config_file();
    let whole = scene.config().replace("v{version}", "v{version}\" # changed\n#");
    // A file that means something else if it ends here: the second publisher is missing.
    let (half, _) = whole.split_once("[[publisher]]\nname = \"widget-gitlab\"").unwrap();
    fs::write(&path, half).unwrap();
    // Long enough for two looks at it, and not for the rest that is asked for.
    thread::sleep(Duration::from_millis(550));
    fs::write(&path, &whole).unwrap();
    let hash = scene.hash();
    scene.wait("reloaded", || scene.count(RELOADED) == 1);
    assert_eq!(scene.count(&format!("config=\"{hash}\"")), 1, "{}", scene.log());
    assert_eq!(scene.count(REFUSED), 0);
}

#[test]
fn files_that_change_while_they_are_read_are_read_again() {
    let scene = Scene::new();
    let (password, token) = (scene.stage.gateway.directory().join("secrets/recorder"), scene.token());
    fs::remove_file(&password).unwrap();
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&password).status().unwrap().success());
    scene.hang_up();
    // A pipe opens when both ends are there: from here on the gateway is reading, until the other end is closed.
    let mut other_end = fs::OpenOptions::new().write(true).open(&password).unwrap();
    replace_file(&password, "whole\n");
    other_end.write_all(b"half\n").unwrap();
    drop(other_end);
    scene.wait("reloaded", || scene.count(RELOADED) == 1);
    scene.upload(&token);
    assert_eq!(scene.shown(), basic("indexgate", "whole"));
    assert_eq!((scene.count("the configuration is being written"), scene.count(REFUSED)), (1, 0));
}

#[test]
fn a_truncated_file_is_refused_and_not_taken_for_no_rules() {
    let scene = Scene::new();
    let (gateway, good) = (&scene.stage.gateway, scene.config());
    let rules = gateway.directory().join("rules.toml");
    fs::write(&rules, RULES).unwrap();
    let including = format!("include = [\"rules.toml\"]\n{}", good.replace(RULES.trim(), ""));
    replace_file(&gateway.config_file(), &including);
    scene.reload();
    fs::write(&rules, "").unwrap();
    scene.reload_is_refused(&["rules.toml: the file is empty", "1 problem"]);
    fs::remove_file(&rules).unwrap();
    scene.reload_is_refused(&["rules.toml: cannot read the file"]);
    fs::write(gateway.config_file(), "").unwrap();
    scene.reload_is_refused(&["`public_url` is missing", "[listen] is missing"]);
    assert_eq!(scene.mint(), 200);
}

#[test]
fn a_thousand_signals_are_few_reloads() {
    let scene = Scene::new();
    let held = |id: u32| fs::read_dir(format!("/proc/{id}/fd")).unwrap().count();
    scene.reload();
    let before = held(scene.id);
    scene.replace(OTHERS.0, OTHERS.1);
    let ten = format!("kill -s HUP {};", scene.id).repeat(10);
    let storm = format!("i=0; while [ $i -lt 100 ]; do {ten} sleep 0.01; i=$((i+1)); done");
    let begun = Instant::now();
    assert!(Command::new("sh").arg("-c").arg(storm).status().unwrap().success());
    scene.wait("refusing", || scene.mint() == 422);
    scene.reload();
    let most = 4 + begun.elapsed().as_millis() / 100;
    assert!(u128::try_from(scene.count(RELOADED)).unwrap() <= most, "{}", scene.log());
    // Connections of the requests above may still be closing.
    scene.wait("tidy", || held(scene.id) <= before + 8);
}

#[test]
fn every_decision_under_load_is_that_of_one_configuration() {
    let scene = Scene::new();
    let allowing = scene.hash();
    let stop = AtomicBool::new(false);
    let refusing = thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert!([200, 422].contains(&scene.mint()));
                }
            });
        }
        scene.replace(OTHERS.0, OTHERS.1);
        let refusing = scene.hash();
        scene.reload();
        for _ in 0..8 {
            scene.replace(OTHERS.1, OTHERS.0);
            scene.reload();
            scene.replace(OTHERS.0, OTHERS.1);
            scene.reload();
        }
        stop.store(true, Ordering::Relaxed);
        refusing
    });
    let lines = scene.stage.gateway.audit_lines();
    let made = |hash: &str, decision: &str| {
        lines.iter().filter(|line| line["config"] == hash && line["decision"] == decision).count()
    };
    let (allowed, refused) = (made(&allowing, "allow"), made(&refusing, "refuse"));
    assert_eq!(allowed + refused, lines.len(), "a decision of neither, or of both");
    assert!(allowed > 20 && refused > 20, "{allowed} allowed, {refused} refused");
}

#[test]
fn an_upload_under_way_ends_under_the_configuration_it_began_with() {
    let scene = Scene::new();
    let (hash, token) = (scene.hash(), scene.token());
    let bytes = upload(&token).header("Host", "gateway").bytes();
    let begin = bytes.len() - 200;
    let mut wire = scene.stage.gateway.wire();
    wire.send(&bytes[..begin]).unwrap();
    // The gateway has read the head: a second connection to it was answered meanwhile.
    assert_eq!(scene.mint(), 200);
    scene.replace(OTHERS.0, OTHERS.1);
    scene.replace("secrets/recorder", "secrets/later");
    replace_file(&scene.stage.gateway.directory().join("secrets/later"), "later\n");
    scene.reload();
    assert_eq!(wire.ask(&bytes[begin..]).status, 200);
    assert_eq!(scene.shown(), basic("indexgate", "upstream-password"));
    // The next request on the same connection is decided by the new one.
    assert_eq!(wire.ask(&bytes).status, 403);
    let uploads = scene.stage.gateway.audit_about("acme_widget-1.2.0");
    assert_eq!((&uploads[0]["config"], &uploads[0]["decision"]), (&hash.into(), &"allow".into()));
    assert_ne!(uploads[1]["config"], uploads[0]["config"]);
}

#[test]
fn a_new_certificate_is_shown_to_new_connections_and_a_bad_one_never() {
    let scene = Scene::new();
    let (gateway, old, new) = (&scene.stage.gateway, &scene.stage.authority, Authority::new());
    let install = |certificate: &str, key: &str| {
        replace_file(&old.certificate_file(), certificate);
        replace_file(&old.key_file(), key);
    };
    let read = |path| fs::read_to_string(path).unwrap();
    let hello = Raw::new("GET /_/oidc/audience").header("Host", "gateway").bytes();
    let greets = |authority: &Authority| {
        let mut wire = Wire::open(gateway.url(), Some(authority));
        wire.send(&hello).and_then(|()| wire.answer()).is_ok_and(|answer| answer.status == 200)
    };
    let mut open = gateway.wire();
    assert_eq!(open.ask(&hello).status, 200);

    install(&read(new.certificate_file()), &read(new.key_file()));
    scene.reload();
    assert!(greets(&new) && !greets(old));
    assert_eq!(open.ask(&hello).status, 200, "an open connection goes on");

    let key = read(new.key_file());
    let (expired, expired_key) = expired();
    for (certificate, key, words) in [
        (read(Authority::new().certificate_file()).as_str(), key.as_str(), "cannot be used"),
        ("", &key, "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA", &key, "certificate"),
        (&read(new.certificate_file()), "", "key"),
        (&expired, &expired_key, "has expired"),
    ] {
        install(certificate, key);
        scene.reload_is_refused(&[words]);
        assert!(greets(&new), "{words}");
    }
}

fn expired() -> (String, String) {
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn a_replaced_password_is_used_and_one_that_others_can_read_is_not() {
    let scene = Scene::new();
    let (password, token) = (scene.stage.gateway.directory().join("secrets/recorder"), scene.token());
    scene.upload(&token);
    assert_eq!(scene.shown(), basic("indexgate", "upstream-password"));
    replace_file(&password, "rotated\n");
    scene.reload();
    scene.upload(&token);
    assert_eq!(scene.shown(), basic("indexgate", "rotated"));

    fs::write(&password, "leaked\n").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).unwrap();
    scene.reload_is_refused(&["can be read by others (mode 644)", "chmod 600"]);
    scene.upload(&token);
    assert_eq!(scene.shown(), basic("indexgate", "rotated"));
    assert!(!scene.log().contains("leaked"));
}

#[test]
fn the_signing_key_is_rotated_and_never_lost() {
    let scene = Scene::new();
    let first = scene.token();
    scene.replace(
        "[listen]",
        "[tokens]\nkey_file = \"second.key\"\nprevious_key_files = [\"token.key\"]\n[listen]",
    );
    scene.reload();
    let second = scene.token();
    assert_eq!([&first, &second].map(|token| scene.upload(token).status), [200, 200]);
    scene.replace("previous_key_files = [\"token.key\"]\n", "");
    scene.reload();
    assert_eq!([&first, &second].map(|token| scene.upload(token).status), [403, 200]);

    fs::remove_file(scene.stage.gateway.directory().join("state/second.key")).unwrap();
    scene.reload_is_refused(&["second.key"]);
    assert_eq!(scene.upload(&second).status, 200);
}

#[test]
fn fetched_keys_stay_warm_and_a_new_issuer_is_fetched() {
    let scene = Scene::new();
    assert_eq!(scene.mint(), 200);
    let github = &scene.stage.github;
    let asked = github.asked(Endpoint::Keys);
    github.break_with(Endpoint::Keys, Fault::Down);
    scene.replace("workflow = \".gitlab-ci.yml\"", "workflow = \"ci.yml\"");
    scene.reload();
    assert_eq!(scene.mint(), 200);
    assert_eq!(github.asked(Endpoint::Keys), asked);

    let moved = Issuer::start(&scene.stage.authority);
    scene.replace(github.url(), moved.url());
    scene.reload();
    assert_eq!(scene.mint(), 422, "the issuer is not configured any more");
    assert_eq!(scene.stage.gateway.mint(&moved.token(&Claims::github(), AUDIENCE)).status, 200);
}

#[test]
fn connections_to_an_unchanged_upstream_are_kept() {
    let scene = Scene::new();
    let read = Raw::new("GET /root/prod/+simple/").header("Host", "gateway").bytes();
    // One client connection stays on one serving thread, which has its own connections to the upstream.
    let mut wire = scene.stage.gateway.wire();
    let mut connection = || {
        assert_eq!(wire.ask(&read).status, 200);
        scene.recorder.requests().last().unwrap().connection
    };
    let first = connection();
    assert_eq!(connection(), first);
    scene.replace(OTHERS.0, OTHERS.1);
    scene.reload();
    assert_eq!(connection(), first);
    scene.replace("kind = \"generic\"", "kind = \"generic\"\nhost = \"upstream\"");
    scene.reload();
    assert_ne!(connection(), first);
}
