//! Collects what was measured, and prints it as one Markdown table.

use crate::measure::Median;

/// Rows of the report, in the order in which they were measured.
#[derive(Default)]
pub struct Table(Vec<[String; 6]>);

/// What a measured ratio has to reach.
#[derive(Clone, Copy)]
pub enum Goal {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// There is no goal: the figure is only told.
    Told,
}

impl Goal {
    fn met(self, value: f64) -> &'static str {
        match self {
            Self::AtLeast(least) if value >= least => "yes",
            Self::AtMost(most) if value <= most => "yes",
            Self::AtLeast(_) | Self::AtMost(_) => "**no**",
            Self::Told => "-",
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {least}"),
            Self::AtMost(most) => format!("≤ {most}"),
            Self::Told => "-".to_owned(),
        }
    }
}

impl Table {
    /// A figure `value` beside what it was made of.
    pub fn add(&mut self, what: &str, (ours, theirs): (String, String), value: f64, goal: Goal) {
        println!("  {what}: {value:.2} ({ours} / {theirs})");
        let met = goal.met(value).to_owned();
        self.0.push([what.to_owned(), ours, theirs, format!("{value:.2}"), goal.text(), met]);
    }

    /// How many times as long the other one takes, and the part of its CPU time that we use.
    pub fn compare(&mut self, what: &str, (ours, theirs): (&Median, &Median), (wall, cpu): (Goal, Goal)) {
        let seconds = |a: f64, b: f64| (format!("{a:.2} s"), format!("{b:.2} s"));
        self.add(
            &format!("{what}: wall, × faster"),
            seconds(ours.wall, theirs.wall),
            theirs.wall / ours.wall,
            wall,
        );
        self.add(
            &format!("{what}: CPU, share of theirs"),
            seconds(ours.cpu, theirs.cpu),
            ours.cpu / theirs.cpu,
            cpu,
        );
    }

    /// Prints all rows.
    pub fn print(&self) {
        println!("\n| what | ours | theirs | ratio | goal | met |\n|---|---|---|---|---|---|");
        for row in &self.0 {
            println!("| {} |", row.join(" | "));
        }
    }
}
