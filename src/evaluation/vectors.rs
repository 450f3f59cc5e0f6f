//! What is evaluated: the vectors of a collection or of a file, by id.

use std::path::PathBuf;

use ndarray::{Array2, ArrayView2, Axis, s};

use crate::context::Context;
use crate::embed::PrecomputedVectors;
use crate::error::{Error, Kind, Result};
use crate::matrix;
use crate::measure::nearest::{Metric, Neighbour, nearest};
use crate::store::{self, find_collection};

/// Records read at a time.
const BATCH: usize = 4096;
/// Queries asked between two looks at whether to stop.
const QUERIES: usize = 1024;

/// Where vectors lie.
#[derive(Clone, Debug)]
pub enum VectorSource {
    /// A `.npy` file with its ids beside it, or a `.jsonl` file; see [`PrecomputedVectors::load`].
    File(PathBuf),
    /// A collection of a store.
    Collection {
        /// The store: `PATH` or `SCHEME:PATH`.
        store: String,
        /// Name or id.
        collection: String,
        /// Namespace, where the name alone is not unique.
        namespace: Option<String>,
    },
}

/// Vectors in the order of their ids: of two that are equally near, the one with the lower id is found first.
#[derive(Debug)]
pub(super) struct Vectors {
    pub ids: Vec<String>,
    pub rows: Array2<f32>,
    /// In words.
    pub origin: String,
    /// How the store measures closeness.
    pub metric: Option<Metric>,
    /// Model that the store names.
    pub model: Option<String>,
}

impl Vectors {
    /// Reads all of them into one matrix.
    ///
    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::Damaged`] for repeated ids and values that are not finite;
    /// [`Kind::Refused`] if there are none, or more than memory takes.
    pub fn read(source: &VectorSource, context: &Context<'_>) -> Result<Self> {
        let mut vectors = match source {
            VectorSource::File(path) => {
                let (ids, rows) = PrecomputedVectors::load(path)?.into_parts();
                let name = path.file_name().unwrap_or(path.as_os_str());
                Vectors { ids, rows, origin: name.display().to_string(), metric: None, model: None }
            }
            VectorSource::Collection { store, collection, namespace } => {
                from_collection(store, collection, namespace.as_deref(), context)?
            }
        };
        if vectors.ids.is_empty() {
            return Err(Error::new(Kind::Refused, format!("{} holds no vector", vectors.origin)));
        }
        vectors.order_by_id();
        Ok(vectors)
    }

    /// The row of an id.
    pub fn row_of(&self, id: &str) -> Option<usize> {
        self.ids.binary_search_by(|other| other.as_str().cmp(id)).ok()
    }

    /// Rows of this and of the other side that have an id in common, in the order of the ids.
    pub fn common_rows(&self, other: &Vectors) -> (Vec<usize>, Vec<usize>) {
        self.ids.iter().enumerate().filter_map(|(row, id)| Some((row, other.row_of(id)?))).unzip()
    }

    /// A copy of some of them.
    pub fn select(&self, rows: &[usize]) -> Vectors {
        Vectors {
            ids: rows.iter().filter_map(|row| self.ids.get(*row).cloned()).collect(),
            rows: self.rows.select(Axis(0), rows),
            origin: self.origin.clone(),
            metric: self.metric,
            model: self.model.clone(),
        }
    }

    /// Moves the rows within the matrix, one cycle of the permutation after the other: no second matrix is needed.
    fn order_by_id(&mut self) {
        if self.ids.is_sorted() {
            return;
        }
        let mut order: Vec<usize> = (0..self.ids.len()).collect();
        order.sort_by(|a, b| self.ids[*a].cmp(&self.ids[*b]));
        self.ids = order.iter().map(|row| std::mem::take(&mut self.ids[*row])).collect();
        for start in 0..order.len() {
            if order[start] == start {
                continue;
            }
            let first = self.rows.row(start).to_owned();
            let mut at = start;
            loop {
                let from = std::mem::replace(&mut order[at], at);
                if from == start {
                    self.rows.row_mut(at).assign(&first);
                    break;
                }
                let (mut to, from_row) = self.rows.multi_slice_mut((s![at, ..], s![from, ..]));
                to.assign(&from_row);
                at = from;
            }
        }
    }
}

fn from_collection(
    location: &str,
    name: &str,
    namespace: Option<&str>,
    context: &Context<'_>,
) -> Result<Vectors> {
    let store = store::open(location)?;
    let description = store.describe()?;
    let collection = find_collection(&description, name, namespace)?;
    let Some(dimension) = collection.dimension.filter(|_| collection.count > 0) else {
        return Err(Error::new(Kind::Refused, format!("collection `{}` is empty", collection.name)));
    };
    let too_many = || {
        Error::new(
            Kind::Refused,
            format!("{} vectors of {dimension} components are more than memory takes", collection.count),
        )
        .hint("evaluate a part of it: give vectors of some records as a file with --vectors")
    };
    let count = usize::try_from(collection.count).ok();
    let size = count.and_then(|n| n.checked_mul(dimension)).ok_or_else(too_many)?;
    let (mut ids, mut values) = (Vec::new(), Vec::<f32>::new());
    values.try_reserve_exact(size).map_err(|_| too_many())?;
    let mut records = store.records(collection, false)?;
    context.progress.start("reading vectors", Some(collection.count), "records");
    while let Some(batch) = records.next_batch(BATCH)? {
        context.check()?;
        let records = batch.ids.len() as u64;
        ids.extend(batch.ids);
        values.extend(batch.vectors.iter());
        context.progress.advance(records);
    }
    context.progress.finish();
    let rows = Array2::from_shape_vec((ids.len(), dimension), values).map_err(|cause| {
        Error::new(Kind::Damaged, "the vectors of the collection differ in dimension").because(cause)
    })?;
    let (ids, rows) = PrecomputedVectors::new(ids, rows)?.into_parts();
    Ok(Vectors {
        ids,
        rows,
        origin: format!("collection {}", collection.name),
        metric: Some(of_store(collection.metric)),
        model: collection.recorded_model().map(str::to_owned),
    })
}

fn of_store(metric: store::Metric) -> Metric {
    match metric {
        store::Metric::L2 => Metric::L2,
        store::Metric::Cosine => Metric::Cosine,
        store::Metric::Ip => Metric::InnerProduct,
    }
}

/// Scales rows to length 1 where the metric looks at directions only, so that no search has to.
pub(super) fn prepare(rows: &mut Array2<f32>, metric: Metric) {
    if metric == Metric::Cosine {
        matrix::normalise_rows(rows.view_mut());
    }
}

/// The `k` nearest rows to each query among rows that were [prepared](prepare), as the queries were.
pub(super) fn search(
    queries: ArrayView2<'_, f32>,
    rows: ArrayView2<'_, f32>,
    k: usize,
    metric: Metric,
    context: &Context<'_>,
) -> Result<Vec<Vec<Neighbour>>> {
    let metric = if metric == Metric::Cosine { Metric::InnerProduct } else { metric };
    let mut found = Vec::with_capacity(queries.nrows());
    for some in queries.axis_chunks_iter(Axis(0), QUERIES) {
        context.check()?;
        found.extend(nearest(some, rows, k, metric, false)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::context::testing::context;

    fn vectors(ids: &[&str], rows: Array2<f32>) -> Vectors {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        Vectors { ids, rows, origin: String::new(), metric: None, model: None }
    }

    #[test]
    fn rows_follow_their_ids() {
        let mut x = vectors(&["d", "a", "c", "b", "e"], array![[4.0], [1.0], [3.0], [2.0], [5.0]]);
        x.order_by_id();
        assert_eq!(x.ids, ["a", "b", "c", "d", "e"]);
        assert_eq!(x.rows, array![[1.0], [2.0], [3.0], [4.0], [5.0]]);
        let ids: Vec<String> = (0..200).map(|i| format!("{:03}", (i * 77) % 200)).collect();
        let rows = Array2::from_shape_fn((200, 2), |(i, j)| (((i * 77) % 200) * 2 + j) as f32);
        let mut many = Vectors { ids, rows, origin: String::new(), metric: None, model: None };
        many.order_by_id();
        assert!(many.rows.iter().enumerate().all(|(i, v)| *v == i as f32));
    }

    #[test]
    fn of_equally_near_rows_the_lower_id_comes_first() {
        let mut x = vectors(&["z", "m", "a"], array![[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]);
        x.order_by_id();
        prepare(&mut x.rows, Metric::Cosine);
        let found = search(array![[1.0, 0.0]].view(), x.rows.view(), 3, Metric::Cosine, &context()).unwrap();
        assert_eq!(found[0].iter().map(|n| n.row).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn common_records_are_found_on_both_sides() {
        let a = vectors(&["a", "c", "d"], array![[1.0], [3.0], [4.0]]);
        let b = vectors(&["b", "c", "d", "e"], array![[2.0], [3.0], [4.0], [5.0]]);
        assert_eq!(a.common_rows(&b), (vec![1, 2], vec![1, 2]));
        assert_eq!(a.select(&[1, 2]).ids, ["c", "d"]);
    }
}
