//! How a collection's index is set up: metric, M, widths.
//!
//! Releases keep these in up to four places that can contradict each other; the order here is the one
//! that was checked against the files and the behaviour of real releases.

use std::collections::HashMap;

use serde_json::Value;

use crate::store::Metric;

/// Settings of a collection's index.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    pub metric: Metric,
    /// Links per element and upper level.
    pub m: usize,
    pub ef_construction: usize,
    pub ef_search: usize,
}

/// Where the settings may be.
#[derive(Default)]
pub(super) struct Sources<'a> {
    pub schema: Option<&'a Value>,
    pub config: Option<&'a Value>,
    /// `hnsw:*` keys of the VECTOR segment.
    pub segment: HashMap<String, Value>,
    /// `hnsw:*` keys of the collection.
    pub collection: HashMap<String, Value>,
    /// Whether the Rust engine (1.0 or later) opens the database.
    pub rust: bool,
}

const SCHEMA: &str = "/keys/#embedding/float_list/vector_index/config";
/// No release makes an index beyond these; a file that asks for more is not followed into memory.
const LARGEST_M: u64 = 1_000;
const LARGEST_EF: u64 = 1_000_000;

impl Sources<'_> {
    /// The settings that Chroma would use, or what stands in the way.
    pub fn settings(&self) -> Result<Settings, String> {
        let schema = self.schema.and_then(|s| s.pointer(SCHEMA));
        let spann = schema.is_some_and(|s| s.get("spann").is_some_and(|v| !v.is_null()))
            || self.config.and_then(|c| c.pointer("/vector_index/spann")).is_some_and(|v| !v.is_null());
        if spann {
            return Err("its index is SPANN, which only Chroma's server product has".into());
        }
        let space = schema
            .and_then(|s| s.get("space"))
            .or_else(|| self.in_config("space").filter(|space| space.as_str() != Some("l2")))
            .or_else(|| self.in_metadata("hnsw:space"))
            .and_then(Value::as_str)
            .unwrap_or("l2");
        let metric = match space {
            "l2" => Metric::L2,
            "cosine" => Metric::Cosine,
            "ip" => Metric::Ip,
            other => return Err(format!("its distance `{}` is not known", other.escape_default())),
        };
        let number = |new: &str, old: &str, default: u64, largest: u64| {
            let value = schema
                .and_then(|s| s.get("hnsw")?.get(new))
                .or_else(|| self.in_config(new).filter(|n| n.as_u64() != Some(default)))
                .or_else(|| self.in_metadata(old))
                .and_then(Value::as_u64)
                .unwrap_or(default);
            match (2..=largest).contains(&value) {
                true => usize::try_from(value).map_err(|e| e.to_string()),
                false => Err(format!("its {new} is {value}, wanted 2 to {largest}")),
            }
        };
        Ok(Settings {
            metric,
            m: number("max_neighbors", "hnsw:M", 16, LARGEST_M)?,
            ef_construction: number("ef_construction", "hnsw:construction_ef", 100, LARGEST_EF)?,
            ef_search: number("ef_search", "hnsw:search_ef", self.default_ef_search(), LARGEST_EF)?,
        })
    }

    /// What a collection without a word on it is searched with: 100 by the Rust engine and by 0.6.3, 10
    /// before. Which release will open a file of 0.5.6 to 0.6 cannot be told from it, their migrations
    /// being the same. From 0.5.4 on each collection keeps the default of the release that made it, though
    /// no release reads it: 100 means that 0.6.3 is in use. Otherwise 10: whatever is measured then is what
    /// users get at the least, and a later release only finds more.
    fn default_ef_search(&self) -> u64 {
        let made_with = || self.config?.pointer("/hnsw_configuration/ef_search")?.as_u64();
        match self.rust {
            true => 100,
            false => made_with().filter(|ef| *ef == 100).unwrap_or(10),
        }
    }

    fn in_config(&self, key: &str) -> Option<&Value> {
        self.config?.pointer("/vector_index/hnsw")?.get(key)
    }

    fn in_metadata(&self, key: &str) -> Option<&Value> {
        self.segment.get(key).or_else(|| self.collection.get(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_upgraded_cosine_collection_is_not_taken_for_l2() {
        // 0.5 and 0.6 write "l2" into config_json_str whatever the collection is.
        let config = json!({"vector_index": {"hnsw": {"space": "l2", "max_neighbors": 16}}});
        let sources = Sources {
            config: Some(&config),
            segment: HashMap::from([("hnsw:space".into(), json!("cosine")), ("hnsw:M".into(), json!(24))]),
            ..Sources::default()
        };
        let settings = sources.settings().expect("known");
        assert_eq!((settings.metric, settings.m), (Metric::Cosine, 24));
    }

    #[test]
    fn the_schema_comes_first() {
        let inner = json!({"space": "ip", "hnsw": {"max_neighbors": 8, "ef_search": 40}});
        let schema = json!({"keys": {"#embedding": {"float_list": {"vector_index": {"config": inner}}}}});
        let config = json!({"vector_index": {"hnsw": {"space": "cosine"}}});
        let sources = Sources { schema: Some(&schema), config: Some(&config), ..Sources::default() };
        let wanted = Settings { metric: Metric::Ip, m: 8, ef_construction: 100, ef_search: 40 };
        assert_eq!(sources.settings(), Ok(wanted));
    }

    #[test]
    fn the_search_width_follows_the_release() {
        let ef = |rust, made_with: Option<u64>, given: Option<u64>| {
            let config = made_with.map(|ef| json!({"hnsw_configuration": {"ef_search": ef, "space": "l2"}}));
            let segment = given.map(|ef| ("hnsw:search_ef".to_owned(), json!(ef))).into_iter().collect();
            let sources = Sources { config: config.as_ref(), segment, rust, ..Sources::default() };
            sources.settings().map(|settings| settings.ef_search)
        };
        assert_eq!(ef(false, None, None), Ok(10)); // 0.4
        assert_eq!(ef(false, Some(10), None), Ok(10)); // up to 0.6.2
        assert_eq!(ef(false, Some(100), None), Ok(100)); // 0.6.3
        assert_eq!(ef(true, Some(10), None), Ok(100)); // upgraded
        assert_eq!(ef(true, None, None), Ok(100));
        for rust in [false, true] {
            assert_eq!(ef(rust, Some(10), Some(37)), Ok(37));
        }
    }

    #[test]
    fn spann_and_senseless_numbers_are_refused() {
        let config = json!({"vector_index": {"spann": {"space": "l2"}}});
        let sources = Sources { config: Some(&config), ..Sources::default() };
        assert!(sources.settings().is_err_and(|why| why.contains("SPANN")));
        let config = json!({"vector_index": {"hnsw": {"max_neighbors": 4_000_000_000u64}}});
        let sources = Sources { config: Some(&config), ..Sources::default() };
        assert!(sources.settings().is_err());
    }
}
