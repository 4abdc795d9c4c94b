//! `--keep`: everything goes on running, with a few things to try.

use std::fs;
use std::path::PathBuf;

use crate::show;
use crate::steps::{PROJECT, World};
use crate::support::devpi::BOB;

/// Prints how to reach everything and waits for Ctrl-C.
pub fn running(world: &World<'_>, dist: &[PathBuf]) {
    let job = write_job(world);
    let (upload_url, index_url, directory) =
        (world.upload_url(), world.index_url(), world.gateway.directory().display());
    let dist = dist[0].parent().map(|directory| directory.display().to_string()).unwrap_or_default();
    show::title("Still running, until Ctrl-C:");
    show::note(&format!("indexgate          {}", world.gateway.url()));
    show::note(&format!("devpi behind it    {}", world.devpi.url()));
    show::note(&format!("identity provider  {}", world.issuer.url()));
    show::note(&format!("configuration      {directory}/indexgate.toml"));
    show::note(&format!("audit log          {directory}/audit.jsonl"));
    show::title("To try, in another terminal:");
    show::note(&format!(". {}   # be the CI job: its identity, no password", job.display()));
    show::note(&format!("uv publish --trusted-publishing always --publish-url {upload_url} {dist}/*"));
    show::note(&format!("twine upload -u {BOB} -p {BOB} --repository-url {upload_url} {dist}/*"));
    show::note(&format!("pip install --target /tmp/{PROJECT} --no-deps --index-url {index_url} {PROJECT}"));
    show::note(&format!("curl --cacert $SSL_CERT_FILE {}/_/oidc/audience", world.gateway.url()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let interrupted = runtime.map(|runtime| runtime.block_on(tokio::signal::ctrl_c()));
    if let Err(error) | Ok(Err(error)) = interrupted {
        show::note(&format!("cannot wait for Ctrl-C: {error}"));
    }
}

/// A file for the shell that makes it the CI job.
fn write_job(world: &World<'_>) -> PathBuf {
    let job = world.issuer.job(&world.own_repository());
    let environment = world.workshop.uv_publish(&world.upload_url(), &[]).github(&job).environment();
    let kept = environment
        .iter()
        .filter(|(name, _)| !["HOME", "TMPDIR", "COLUMNS", "NO_COLOR"].contains(&name.as_str()));
    let lines = kept.map(|(name, value)| match name.as_str() {
        "PATH" => format!("export PATH='{}':\"$PATH\"\n", value.split(':').next().unwrap_or_default()),
        _ => format!("export {name}='{value}'\n"),
    });
    let path = world.workshop.directory("job").join("job.sh");
    fs::write(&path, lines.collect::<String>()).expect("the directory is ours");
    path
}
