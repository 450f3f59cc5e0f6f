//! Models and a store made for the tests of this folder.

use std::path::PathBuf;

use ndarray::{Array2, ArrayView2};

use crate::context::Context;
use crate::context::testing::context;
use crate::embed::{Embedder, Role};
use crate::error::{Error, Kind, Result};
use crate::space::Space;
use crate::store::{
    Backup, Batch, Capabilities, Changes, Collection, Examination, Metric, Records, Rewrite, RewriteTarget,
    Since, StoreDescription, VectorStore,
};

/// Letter counts, turned by a fixed map: linear in each other, so that ridge can learn one from the other.
pub(crate) struct Letters {
    space: Space,
    turn: usize,
    scale: f32,
}

impl Letters {
    pub(crate) fn new(model: &str, dimension: usize, turn: usize) -> Self {
        let mut space = Space::named(model, dimension);
        space.pooling = Some("mean".into());
        space.normalised = Some(true);
        space.document_prompt = Some(String::new());
        space.query_prompt = Some(String::new());
        Letters { space, turn, scale: 1.0 }
    }

    pub(crate) fn prompted(mut self, document: &str, query: &str) -> Self {
        self.space.document_prompt = Some(document.into());
        self.space.query_prompt = Some(query.into());
        self
    }

    pub(crate) fn of_length(mut self, scale: f32) -> Self {
        self.scale = scale;
        self.space.normalised = Some(scale == 1.0);
        self
    }
}

impl Embedder for Letters {
    fn space(&self) -> &Space {
        &self.space
    }

    fn embed(&self, texts: &[&str], role: Role, _: &Context<'_>) -> Result<Array2<f32>> {
        let prompt = match role {
            Role::Document => self.space.document_prompt.clone(),
            Role::Query => self.space.query_prompt.clone(),
        };
        let d = self.space.dimension;
        let mut out: Array2<f32> = Array2::zeros((texts.len(), d));
        for (mut row, text) in out.rows_mut().into_iter().zip(texts) {
            for byte in prompt.iter().flat_map(|p| p.bytes()).chain(text.bytes()) {
                for j in 0..d {
                    let angle = (usize::from(byte % 32) * (j + 1) * (self.turn + 3)) as f32;
                    row[j] += angle.sin();
                }
            }
            let length = row.dot(&row).sqrt().max(1e-6);
            row.mapv_inplace(|v| v / length * self.scale);
        }
        Ok(out)
    }
}

/// A store with one collection in memory.
pub(crate) struct Shelf {
    pub(crate) collection: Collection,
    pub(crate) records: Vec<(String, Option<String>, Vec<f32>)>,
}

fn unused<T>() -> Result<T> {
    Err(Error::new(Kind::Unsupported, "not for this test"))
}

impl VectorStore for Shelf {
    fn describe(&self) -> Result<StoreDescription> {
        unused()
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            in_place: false,
            transactional: false,
            changes_dimension: false,
            keeps_texts: true,
            searches: false,
            compares_contents: false,
        }
    }
    fn state_folder(&self) -> PathBuf {
        PathBuf::new()
    }
    fn examine(&self, _: Option<&Collection>, _: &Context<'_>) -> Result<Examination> {
        unused()
    }
    fn holders(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn records<'a>(&'a self, _: &Collection, texts: bool) -> Result<Box<dyn Records + 'a>> {
        assert!(texts, "training reads texts");
        Ok(Box::new(Reader { shelf: self, next: 0 }))
    }
    fn each(&self, _: &Collection, _: &(dyn Fn(&Batch) -> Result<()> + Sync)) -> Result<()> {
        unused()
    }
    fn content_digest(&self, _: &Collection) -> Result<String> {
        unused()
    }
    fn search(&self, _: &Collection, _: ArrayView2<f32>, _: usize) -> Result<Vec<Vec<crate::store::Hit>>> {
        unused()
    }
    fn rewrite_bytes(&self, _: &Collection, _: usize) -> u64 {
        0
    }
    fn side_effects(&self, _: &Collection, _: &Space, _: crate::store::BackupChoice) -> Vec<String> {
        Vec::new()
    }
    fn rewrite<'a>(&'a mut self, _: &Collection, _: &RewriteTarget) -> Result<Box<dyn Rewrite + 'a>> {
        unused()
    }
    fn changes_since(&self, _: &Backup) -> Result<Changes> {
        unused()
    }
    fn missing_from(&self, _: &Backup) -> Result<Vec<PathBuf>> {
        unused()
    }
    fn backup_records<'a>(&'a self, _: &'a Backup) -> Result<Box<dyn Records + 'a>> {
        unused()
    }
    fn restore(&mut self, _: &Backup, _: Since) -> Result<()> {
        unused()
    }
    fn is_current(&self, _: &str, _: &str) -> Result<bool> {
        unused()
    }
    fn sweep(&mut self, _: &str, _: &serde_json::Value) -> Result<()> {
        unused()
    }
}

struct Reader<'a> {
    shelf: &'a Shelf,
    next: usize,
}

impl Records for Reader<'_> {
    fn next_batch(&mut self, max: usize) -> Result<Option<Batch>> {
        let part: Vec<_> = self.shelf.records.iter().skip(self.next).take(max.min(64)).collect();
        self.next += part.len();
        if part.is_empty() {
            return Ok(None);
        }
        let d = self.shelf.collection.dimension.unwrap_or(0);
        let flat = part.iter().flat_map(|r| r.2.iter().copied()).collect();
        Ok(Some(Batch {
            ids: part.iter().map(|r| r.0.clone()).collect(),
            vectors: Array2::from_shape_vec((part.len(), d), flat).unwrap(),
            texts: part.iter().map(|r| r.1.clone()).collect(),
        }))
    }
}

pub(crate) fn texts(n: usize) -> Vec<String> {
    let words = [
        "amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "harbor", "island", "juniper",
        "kernel",
    ];
    (0..n)
        .map(|i| {
            (0..6)
                .map(|k| words[(i * (k + 3) + i / 7 + k * k) % words.len()])
                .chain([format!("{i}").as_str()])
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

pub(crate) fn shelf(n: usize, model: &dyn Embedder) -> Shelf {
    let texts = texts(n);
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    let rows = model.embed(&borrowed, Role::Document, &context()).unwrap();
    let records = texts.iter().zip(rows.rows()).enumerate();
    Shelf {
        collection: Collection {
            id: "c".into(),
            name: "docs".into(),
            namespace: "n".into(),
            count: n as u64,
            dimension: (n > 0).then_some(model.space().dimension),
            metric: Metric::Cosine,
            texts: n as u64,
            stamped: None,
            configured_model: None,
            embedding_function: "none".into(),
            migration: None,
            bytes: 0,
            layout: None,
            rounded_to: None,
            unsupported: None,
        },
        records: records.map(|(i, (t, r))| (format!("id{i}"), Some(t.clone()), r.to_vec())).collect(),
    }
}
