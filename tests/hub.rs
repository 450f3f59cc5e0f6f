//! The hub path without a hub: a loopback server with a real repository layout.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod common_hub;

use common_hub::{Hub, spec_of};
use embedport::context::{Cancel, Context, Silent};
use embedport::embed::{self, DeviceChoice, HubConfig, ModelSpec, Options, Role};
use embedport::error::{Kind, Result};

static CANCEL: Cancel = Cancel::new();

fn now() -> jiff::Timestamp {
    jiff::Timestamp::UNIX_EPOCH
}

fn entropy() -> [u8; 16] {
    [7; 16]
}

fn options(endpoint: &str, home: &std::path::Path, more: &[(&str, &str)]) -> Options {
    let home = home.to_str().unwrap().to_owned();
    let hub = HubConfig::from_lookup(&|name| match name {
        "HF_ENDPOINT" => Some(endpoint.to_owned()),
        "HF_HOME" => Some(home.clone()),
        _ => more.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
    });
    Options { device: DeviceChoice::Cpu, hub, threads: 1 }
}

fn run(spec: &ModelSpec, options: &Options) -> Result<ndarray::Array2<f32>> {
    let context = Context { seed: 1, progress: &Silent, cancel: &CANCEL, now: &now, entropy: &entropy };
    embed::open(spec, None, options, &context)?.embed(&["list all files"], Role::Document, &context)
}

fn bundled(home: &std::path::Path) -> ndarray::Array2<f32> {
    run(&spec_of("embedport/static-256"), &options("http://127.0.0.1:9", home, &[])).unwrap()
}

#[test]
fn a_model_is_loaded_once_and_then_found_offline() {
    let (hub, home) = (Hub::start(), tempfile::tempdir().unwrap());
    let (spec, online) = (spec_of("owner/static"), options(&hub.endpoint, home.path(), &[]));
    assert!(embed::find_local(&spec, &online).is_none());
    let loaded = run(&spec, &online).unwrap();
    assert_eq!(loaded, bundled(home.path()));
    assert!(embed::find_local(&spec, &online).is_some());

    let repository = home.path().join("hub/models--owner--static");
    let commit = std::fs::read_to_string(repository.join("refs/main")).unwrap();
    assert!(repository.join("snapshots").join(&commit).join("model.safetensors").is_file());
    assert!(repository.join("blobs").is_dir());

    let asked = hub.requests();
    assert_eq!(run(&spec, &online).unwrap(), loaded);
    assert_eq!(hub.requests(), asked, "a cached model asks the hub nothing");
    drop(hub);
    let offline = options("http://127.0.0.1:9", home.path(), &[("HF_HUB_OFFLINE", "1")]);
    assert_eq!(run(&spec, &offline).unwrap(), loaded);
}

#[test]
fn a_transfer_that_breaks_off_goes_on_where_it_was() {
    let (hub, home) = (Hub::start(), tempfile::tempdir().unwrap());
    hub.break_off_after(3_000_000);
    let loaded = run(&spec_of("owner/static"), &options(&hub.endpoint, home.path(), &[])).unwrap();
    assert_eq!(loaded, bundled(home.path()));
    let starts = hub.ranges_of("model.safetensors");
    assert!(starts.iter().any(|start| *start >= 2_000_000), "no request went on: {starts:?}");
}

#[test]
fn a_file_that_was_altered_on_its_way_is_noticed_and_not_kept() {
    let (hub, home) = (Hub::start(), tempfile::tempdir().unwrap());
    hub.alter("model.safetensors");
    let error = run(&spec_of("owner/static"), &options(&hub.endpoint, home.path(), &[])).unwrap_err();
    assert_eq!(error.kind(), Kind::Network);
    assert!(error.message().contains("SHA-256"), "{error:?}");
    assert!(embed::find_local(&spec_of("owner/static"), &options(&hub.endpoint, home.path(), &[])).is_none());
}

#[test]
fn a_half_file_in_the_cache_is_noticed() {
    let (hub, home) = (Hub::start(), tempfile::tempdir().unwrap());
    let (spec, options) = (spec_of("owner/static"), options(&hub.endpoint, home.path(), &[]));
    run(&spec, &options).unwrap();
    let Some(embed::Local::Folder(folder)) = embed::find_local(&spec, &options) else { panic!("cached") };
    let weights = folder.join("model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let error = run(&spec, &options).unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(!error.hints().is_empty());
}

#[test]
fn refusals_are_told_apart() {
    let (hub, home) = (Hub::start(), tempfile::tempdir().unwrap());
    let options = options(&hub.endpoint, home.path(), &[]);
    let of = |name: &str| run(&spec_of(name), &options).unwrap_err();

    let private = of("owner/private");
    assert_eq!(private.kind(), Kind::Refused);
    assert!(private.message().contains("401") && private.hints().iter().any(|h| h.contains("HF_TOKEN")));
    let gated = of("owner/gated");
    assert_eq!(gated.kind(), Kind::Refused);
    assert!(gated.message().contains("gated") && gated.hints()[0].contains("owner/gated"));
    let missing = of("owner/missing");
    assert_eq!(missing.kind(), Kind::NotFound);
    assert!(missing.message().contains("no model"));
    let revision = run(&"owner/static,revision=v9".parse().unwrap(), &options).unwrap_err();
    assert_eq!(revision.kind(), Kind::NotFound);
    assert!(revision.message().contains("v9"));
    let pytorch = of("owner/pytorch");
    assert!(pytorch.hints()[0].contains("safetensors"), "{pytorch:?}");
    assert_eq!(of("owner/busy").kind(), Kind::Network);
}

#[test]
fn the_token_opens_a_private_model() {
    let (hub, home) = (Hub::start(), tempfile::tempdir().unwrap());
    let options = options(&hub.endpoint, home.path(), &[("HF_TOKEN", "hf_right")]);
    assert_eq!(run(&spec_of("owner/private"), &options).unwrap(), bundled(home.path()));
}

#[test]
fn an_offline_miss_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let options = options("http://127.0.0.1:9", home.path(), &[("HF_HUB_OFFLINE", "1")]);
    let error = run(&spec_of("owner/static"), &options).unwrap_err();
    assert!(error.is_not_found());
    assert!(error.message().contains("model.safetensors") && error.message().contains("HF_HUB_OFFLINE"));
    let hints = error.hints().join(" ");
    assert!(hints.contains("models--owner--static") && hints.contains("path="), "{hints}");
}

#[test]
fn a_hub_that_is_not_there_is_a_network_failure() {
    let home = tempfile::tempdir().unwrap();
    let error = run(&spec_of("owner/static"), &options("http://127.0.0.1:9", home.path(), &[])).unwrap_err();
    assert_eq!(error.kind(), Kind::Network);
    assert!(error.hints().iter().any(|hint| hint.contains("HF_HUB_OFFLINE")));
}
