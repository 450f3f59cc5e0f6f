//! Plots as inline SVG. No text of the user stands in them: series are told apart by colour, and named beside the plot.

use std::ops::Range;

use embedport::error::{Error, Kind, Result};
use embedport::evaluation::Histogram;
use embedport::measure::Estimate;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::escaped;

/// Colours are stand-ins that the style sheet translates.
const INK: RGBColor = RGBColor(1, 1, 1);
/// Series that have a colour of their own.
pub const COLOURS: usize = 8;
const SIZE: (u32, u32) = (480, 300);

fn colour(series: usize) -> RGBColor {
    RGBColor(2, 2, (series % COLOURS) as u8)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Bars with intervals, in the colours of their places; those without a value leave a gap.
pub fn bars(label: &str, figures: &[Estimate]) -> Result<String> {
    let ends = figures.iter().flat_map(|f| [f.value, f.high]).flatten();
    let top = ends.fold(0.0, f64::max).clamp(0.05, 1e9) * 1.08;
    drawn(label, |area| {
        let mut chart = chart(area, 0.0..figures.len() as f64, 0.0..top, ("", label), false)?;
        for (i, figure) in figures.iter().enumerate() {
            let Some(value) = figure.value else { continue };
            let middle = i as f64 + 0.5;
            let bar = Rectangle::new([(middle - 0.35, 0.0), (middle + 0.35, value)], colour(i).filled());
            chart.draw_series([bar])?;
            if let (Some(low), Some(high)) = (figure.low, figure.high) {
                let mut line = |a: (f64, f64), b: (f64, f64)| {
                    chart.draw_series([PathElement::new([a, b], INK.stroke_width(2))]).map(|_| ())
                };
                line((middle, low), (middle, high))?;
                line((middle - 0.08, low), (middle + 0.08, low))?;
                line((middle - 0.08, high), (middle + 0.08, high))?;
            }
        }
        Ok(())
    })
}

/// Histograms over the same bins as outlines, each as shares of its own total.
pub fn histograms(label: &str, series: &[(usize, &Histogram)]) -> Result<String> {
    let share = |h: &Histogram, count: usize| count as f64 / h.counts.iter().sum::<usize>().max(1) as f64;
    let shares = series.iter().flat_map(|(_, h)| h.counts.iter().map(|c| share(h, *c)));
    let top = shares.fold(0.0, f64::max).max(0.01) * 1.08;
    let low = series.iter().map(|(_, h)| h.low).fold(f64::MAX, f64::min);
    let high = series.iter().map(|(_, h)| h.high).fold(f64::MIN, f64::max);
    drawn(label, |area| {
        let mut chart = chart(area, range(low, high), 0.0..top, (label, "share"), true)?;
        for (place, histogram) in series {
            let width = (histogram.high - histogram.low) / histogram.counts.len().max(1) as f64;
            let edge = |i: usize| histogram.low + width * i as f64;
            let steps = histogram.counts.iter().enumerate().flat_map(|(i, count)| {
                let share = share(histogram, *count);
                [(edge(i), share), (edge(i + 1), share)]
            });
            let end = (histogram.high, 0.0);
            let outline: Vec<(f64, f64)> =
                [(histogram.low, 0.0)].into_iter().chain(steps).chain([end]).collect();
            let style = colour(*place);
            chart.draw_series([Polygon::new(outline.clone(), style.mix(0.15))])?;
            chart.draw_series([PathElement::new(outline, style.stroke_width(2))])?;
        }
        Ok(())
    })
}

/// Sorted values over the share of them that is below.
pub fn curves(label: &str, series: &[(usize, &[f64])]) -> Result<String> {
    let all = || series.iter().flat_map(|(_, values)| values.iter().copied());
    let (low, high) = (all().fold(0.0, f64::min), all().fold(0.0, f64::max));
    drawn(label, |area| {
        let mut chart = chart(area, 0.0..1.0, range(low, high), ("share of queries", label), true)?;
        chart.draw_series([PathElement::new([(0.0, 0.0), (1.0, 0.0)], INK.mix(0.5))])?;
        for (place, values) in series {
            let last = values.len().saturating_sub(1).max(1) as f64;
            // A plot has no more columns than this.
            let step = values.len().div_ceil(SIZE.0 as usize).max(1);
            let thinned = values.iter().enumerate().filter(|(i, _)| i % step == 0 || i + 1 == values.len());
            let points = thinned.map(|(i, value)| (i as f64 / last, *value));
            chart.draw_series(LineSeries::new(points, colour(*place).stroke_width(2)))?;
        }
        Ok(())
    })
}

/// Values with their intervals over a quantity, joined by a line.
pub fn line(label: &str, axes: (&str, &str), points: &[(f64, Estimate)]) -> Result<String> {
    struct Point {
        x: f64,
        value: f64,
        low: f64,
        high: f64,
    }
    let point = |(x, e): &(f64, Estimate)| {
        let value = e.value?;
        Some(Point { x: *x, value, low: e.low.unwrap_or(value), high: e.high.unwrap_or(value) })
    };
    let known: Vec<Point> = points.iter().filter_map(point).collect();
    let least = |of: fn(&Point) -> f64| known.iter().map(of).fold(f64::MAX, f64::min);
    let most = |of: fn(&Point) -> f64| known.iter().map(of).fold(f64::MIN, f64::max);
    let (x, low, high) = ((least(|p| p.x), most(|p| p.x)), least(|p| p.low), most(|p| p.high));
    drawn(label, |area| {
        let mut chart = chart(area, range(x.0, x.1), range(low, high), axes, true)?;
        chart
            .draw_series(LineSeries::new(known.iter().map(|p| (p.x, p.value)), colour(0).stroke_width(2)))?;
        for p in &known {
            chart.draw_series([PathElement::new([(p.x, p.low), (p.x, p.high)], INK.stroke_width(2))])?;
            chart.draw_series([Circle::new((p.x, p.value), 4, colour(0).filled())])?;
        }
        Ok(())
    })
}

/// Points; with `is_diagonal`, both axes have one scale and the line of equality is drawn.
pub fn scatter(
    label: &str,
    axes: (&str, &str),
    series: &[(usize, &[[f64; 2]])],
    is_diagonal: bool,
) -> Result<String> {
    let ends = |axis: usize| {
        let all = || series.iter().flat_map(|(_, points)| points.iter().map(move |p| p[axis]));
        (all().fold(f64::MAX, f64::min), all().fold(f64::MIN, f64::max))
    };
    let (mut x, mut y) = (ends(0), ends(1));
    if is_diagonal {
        (x, y) = ((x.0.min(y.0), x.1.max(y.1)), (x.0.min(y.0), x.1.max(y.1)));
    }
    drawn(label, |area| {
        let mut chart = chart(area, range(x.0, x.1), range(y.0, y.1), axes, true)?;
        if is_diagonal {
            chart.draw_series([PathElement::new([(x.0, x.0), (x.1, x.1)], INK.mix(0.5))])?;
        }
        for (place, points) in series {
            let style = colour(*place).mix(0.5).filled();
            chart.draw_series(points.iter().map(|p| Circle::new((p[0], p[1]), 2, style)))?;
        }
        Ok(())
    })
}

/// A range that is not empty and finite, with some room at both ends.
fn range(low: f64, high: f64) -> Range<f64> {
    match low.is_finite() && high.is_finite() && high >= low {
        true => {
            let room = ((high - low) * 0.04).max(1e-6);
            low - room..high + room
        }
        false => 0.0..1.0,
    }
}

fn chart<'a, 'b>(
    area: &'a Area<'b>,
    x: Range<f64>,
    y: Range<f64>,
    (x_label, y_label): (&str, &str),
    has_x_axis: bool,
) -> std::result::Result<Chart<'a, 'b>, DrawingAreaErrorKind<std::io::Error>> {
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(20)
        .x_label_area_size(if has_x_axis { 40 } else { 8 })
        .y_label_area_size(58)
        .build_cartesian_2d(x, y)?;
    let text = TextStyle::from(("sans-serif", 15)).color(&INK);
    let number = |v: &f64| match v.abs() {
        size if size < 0.005 => "0.00".to_owned(),
        size if size < 10.0 => format!("{v:.2}"),
        _ => format!("{v:.0}"),
    };
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT)
        .bold_line_style(INK.mix(0.12))
        .axis_style(INK.mix(0.6))
        .label_style(text.clone())
        .axis_desc_style(text)
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .x_labels(if has_x_axis { 6 } else { 0 })
        .y_labels(6)
        .x_desc(x_label)
        .y_desc(y_label);
    if !has_x_axis {
        mesh.disable_x_mesh();
    }
    mesh.draw()?;
    Ok(chart)
}

/// The SVG element that `draw` fills.
fn drawn(label: &str, draw: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let done = draw(&area).and_then(|()| area.present());
        done.map_err(|e| Error::new(Kind::Internal, "a plot cannot be drawn").because(e.to_string()))?;
    }
    // Within HTML the element needs no name space, and its size is that of its place.
    let inside = svg.split_once('>').map_or("", |(_, inside)| inside);
    let (width, height) = SIZE;
    let label = escaped(label);
    Ok(format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">{inside}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plot_can_be_drawn_of_nothing_and_of_one_value() {
        let one = Estimate { value: Some(0.5), low: Some(0.4), high: Some(0.6) };
        let same = Histogram::of([1.0].into_iter(), 1.0, 1.0, 3);
        for svg in [
            bars("b", &[]).unwrap(),
            bars("b", &[one, Estimate::default()]).unwrap(),
            histograms("h", &[]).unwrap(),
            histograms("h", &[(0, &same)]).unwrap(),
            line("l", ("x", "y"), &[]).unwrap(),
            line("l", ("x", "y"), &[(2.0, one), (1.0, one), (0.0, Estimate::default())]).unwrap(),
            curves("c", &[(0, &[])]).unwrap(),
            curves("c", &[(9, &[0.5])]).unwrap(),
            scatter("s", ("x", "y"), &[(0, &[])], true).unwrap(),
            scatter("s", ("x", "y"), &[(0, &[[1.0, 1.0]])], false).unwrap(),
        ] {
            assert!(svg.starts_with("<svg viewBox") && svg.trim_end().ends_with("</svg>"));
            assert!(!svg.contains("NaN") && !svg.contains("http"), "{svg}");
        }
    }

    #[test]
    fn long_curves_are_thinned_and_keep_their_end() {
        let values: Vec<f64> = (0..100_000).map(f64::from).collect();
        assert!(curves("c", &[(0, &values)]).unwrap().len() < 30_000);
    }
}
