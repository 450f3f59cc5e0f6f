//! Which models lie in the hub's cache on this machine.

use super::hub::{HubConfig, find_cached};
use super::spec::ModelSpec;

/// Most models of the cache that are listed.
const MOST_CACHED: usize = 1000;

/// Ids of the models whose weights are in the cache, in order. A cache that cannot be read is empty.
pub fn list_cached(config: &HubConfig) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(&config.cache) else { return Vec::new() };
    let mut ids: Vec<String> = entries
        .take(10 * MOST_CACHED)
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let (owner, model) = name.strip_prefix("models--")?.split_once("--")?;
            let spec = ModelSpec { name: format!("{owner}/{model}"), ..ModelSpec::default() };
            find_cached(&spec, config).map(|_| spec.name)
        })
        .take(MOST_CACHED)
        .collect();
    ids.sort_unstable();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn config(cache: &Path) -> HubConfig {
        HubConfig::from_lookup(&|name| (name == "HF_HUB_CACHE").then(|| cache.display().to_string()))
    }

    #[test]
    fn models_with_weights_are_listed() {
        let cache = tempfile::tempdir().unwrap();
        for (name, weights) in
            [("models--b--two", true), ("models--a--one", true), ("models--a--none", false)]
        {
            let snapshot = cache.path().join(name).join("snapshots/abc");
            std::fs::create_dir_all(&snapshot).unwrap();
            std::fs::create_dir_all(cache.path().join(name).join("refs")).unwrap();
            std::fs::write(cache.path().join(name).join("refs/main"), "abc").unwrap();
            if weights {
                std::fs::write(snapshot.join("model.safetensors"), "").unwrap();
            }
        }
        std::fs::create_dir_all(cache.path().join("datasets--a--one")).unwrap();
        let found = list_cached(&config(cache.path()));
        assert_eq!(found, ["a/one", "b/two"]);
        assert!(list_cached(&config(Path::new("/no/such/cache"))).is_empty());
    }
}
