//! What queries find over a bridge, as text.

use std::io::{Result, Write};

use embedport::measure::Estimate;
use embedport::projection::BridgeReport;

use super::number;

/// The report of a bridge.
pub(super) fn show_bridge(out: &mut dyn Write, report: &BridgeReport) -> Result<()> {
    writeln!(
        out,
        "  measured with {} held-out texts as queries, among {} records:",
        report.queries, report.records
    )?;
    let share =
        |e: &Estimate| format!("{} (90 % interval {} to {})", number(e.value), number(e.low), number(e.high));
    writeln!(
        out,
        "    of the 10 that a query of the collection's own model finds, it finds  {}",
        share(&report.own)
    )?;
    writeln!(
        out,
        "    of the 10 that its own model finds among its own vectors, it finds   {}",
        share(&report.native)
    )?;
    writeln!(
        out,
        "      (a query of the collection's own model finds of those              {})",
        share(&report.own_of_native)
    )?;
    writeln!(
        out,
        "    real queries are shorter and ask all records, and find less (docs/bridge.md); `embedport evaluate` measures yours"
    )
}
