//! What tests that call the library share.

use embedport::context::{Cancel, Context, Silent};
use embedport::embed::{self, DeviceChoice, Embedder, HubConfig};

static CANCEL: Cancel = Cancel::new();

fn entropy() -> [u8; 16] {
    *uuid::Uuid::new_v4().as_bytes()
}

/// A silent context with the seed 7 and the clock of the machine.
pub fn context() -> Context<'static> {
    Context { seed: 7, progress: &Silent, cancel: &CANCEL, now: &jiff::Timestamp::now, entropy: &entropy }
}

/// The model that ships with the program, without network.
pub fn static_model() -> Box<dyn Embedder> {
    let hub = HubConfig::from_lookup(&|name| (name == "HF_HUB_OFFLINE").then(|| "1".to_owned()));
    let options = embed::Options { device: DeviceChoice::Cpu, hub, threads: 0 };
    embed::open(&embed::BUNDLED_NAME.parse().unwrap(), None, &options, &context()).unwrap()
}
