//! Draws the medians as bars.

use std::fmt::Write as _;

use crate::turns::Medians;

/// Pixels of the longest bar.
const LONGEST: f64 = 420.0;
/// Pixels of a row.
const ROW: usize = 22;
/// Pixels left of the bars.
const LEFT: usize = 210;

/// An SVG with the wall time of every variant, each group to its own scale.
pub fn bars(groups: &[(&str, Medians)]) -> String {
    let rows: usize = groups.iter().map(|(_, medians)| medians.all.len() + 2).sum();
    let (width, height) = (LEFT + 520, rows * ROW + 10);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut y = ROW;
    for (name, medians) in groups {
        writeln!(
            svg,
            "<text x=\"10\" y=\"{y}\" font-weight=\"bold\">{name}: seconds until it is restored</text>"
        )
        .unwrap();
        y += ROW;
        let longest = medians.all.iter().map(|median| median.wall).fold(0.0, f64::max);
        for median in &medians.all {
            let length = median.wall / longest * LONGEST;
            let colour = if median.name.starts_with("reinstate") { "#1f6f8b" } else { "#b0b7bd" };
            writeln!(
                svg,
                "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{}</text><rect x=\"{LEFT}\" y=\"{}\" width=\"{length:.1}\" \
                 height=\"14\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{y}\">{:.1}</text>",
                LEFT - 8,
                median.name,
                y - 12,
                LEFT as f64 + length + 6.0,
                median.wall
            )
            .unwrap();
            y += ROW;
        }
        y += ROW;
    }
    svg.push_str("</svg>\n");
    svg
}
