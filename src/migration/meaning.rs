//! Meaning checks: a raw vector of the target model, asked of the rewritten index.
//!
//! A map applied in the wrong direction passes every delivery check and leaves recall@1 near zero;
//! only a question in the target space shows it.

use ndarray::Array2;

use crate::error::Result;
use crate::measure::HeldOutReport;
use crate::projection::{HeldOut, Projection};
use crate::store::Metric;

use super::judge::Answers;
use super::verification::{Family, Relation, VerificationReport};

/// Share of the held-out recall@1 that the whole collection must keep. A collection is harder than a
/// few hundred held-out rows, so this bound catches wrong maps, not weak ones: a reversed map is near 0.
const DIRECTION_SHARE: f64 = 0.25;
/// Lowest bound of the direction check.
const DIRECTION_FLOOR: f64 = 0.05;
/// How far the held-out cosine may fall below what the projection file says.
const COSINE_SLACK: f64 = 0.005;

/// The checks. `answers`: what the store's own index of a collection with this metric found.
pub fn check(
    report: &mut VerificationReport,
    projection: &Projection,
    metric: Metric,
    answers: &Answers,
) -> Result<()> {
    check_held_out(report, projection)?;
    match &answers.own_first {
        Some((share, origin)) => {
            // By inner product a vector need not be its own best match unless all have one length.
            let comparable = metric != Metric::Ip || projection.target().normalised == Some(true);
            let expected = projection.header.report.value("recall_at_1").filter(|_| comparable);
            report.check(
                Family::Meaning,
                format!("recall@1, target-model queries ({origin})"),
                *share,
                Relation::AtLeast,
                (expected.unwrap_or(0.0) * DIRECTION_SHARE).max(DIRECTION_FLOOR),
            );
        }
        None => report.not_measured.push(
            "recall@1 of target-model queries on this collection: no held-out text is in it and the target \
             model cannot be run here"
                .into(),
        ),
    }
    Ok(())
}

/// The loaded map must do on its held-out pairs what its file says.
fn check_held_out(report: &mut VerificationReport, projection: &Projection) -> Result<()> {
    let Some(held_out) = &projection.held_out else {
        report.not_measured.push("held-out pairs: the projection carries none".into());
        return Ok(());
    };
    let header = &projection.header;
    let alone = projection.apply(held_out.source.view())?;
    held_out_rows(report, "", alone, held_out, &header.report, header.seed)?;
    if let (Some(projected), Some(promised)) =
        (projection.apply_with_texts(held_out)?, &header.report_with_texts)
    {
        held_out_rows(report, " with texts", projected, held_out, promised, header.seed)?;
    }
    Ok(())
}

/// The checks of one map, whose names end with `with`, by what its file promised.
fn held_out_rows(
    report: &mut VerificationReport,
    with: &str,
    projected: Array2<f32>,
    held_out: &HeldOut,
    promised: &HeldOutReport,
    seed: u64,
) -> Result<()> {
    let values = HeldOutReport::values(projected.view(), held_out.target.view(), seed)?;
    let now = |name: &str| values.iter().find(|(n, _)| *n == name).and_then(|(_, value)| *value);
    for (figure, name) in [
        ("cosine_mean", "held-out mean cosine, projected now"),
        ("similarity_pearson", "held-out similarity preservation, projected now"),
    ] {
        let Some(promised) = promised.value(figure) else { continue };
        report.check(
            Family::Meaning,
            format!("{name}{with}"),
            now(figure).unwrap_or(f64::NAN),
            Relation::AtLeast,
            promised - COSINE_SLACK,
        );
    }
    if let (Some(mse), Some(promised)) = (now("mse"), promised.value("mse")) {
        report.check(
            Family::Meaning,
            format!("held-out mean squared error, projected now{with}"),
            mse,
            Relation::AtMost,
            promised * 1.01 + 1e-6,
        );
    }
    Ok(())
}
