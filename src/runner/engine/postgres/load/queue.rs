//! Which of the waiting tasks goes next. Pure.
//!
//! A task may run when nothing that runs holds its tables in a way that does not go together, and nothing that
//! waits before it does that it may not overtake. Of those that may, the one goes first on which most work hangs: its own and that of
//! what waits for it, so that the last thing to be done is a short one.

use std::collections::{HashMap, VecDeque};

use super::turn::Hold;

/// Tasks that are looked at, from the first one that waits.
const WINDOW: usize = 256;

/// What is to be known of a task.
pub(super) trait Waiting {
    /// The tables that it holds while it runs.
    fn holds(&self) -> &[(String, Hold)];
    /// How much work it is; 0 for little.
    fn weight(&self) -> u64;
}

/// The place of the task that goes next beside what is `held`; `None`: none may run.
pub(super) fn next<T: Waiting>(tasks: &VecDeque<T>, held: &[(String, Hold)]) -> Option<usize> {
    let mut free = free(tasks, held);
    if tasks.iter().take(WINDOW).all(|task| task.weight() == 0) {
        return free.next();
    }
    let work = work(tasks);
    let of = |at: &usize| work.get(*at).copied().unwrap_or_default();
    // The first of those with the most.
    free.max_by(|one, other| of(one).cmp(&of(other)).then(other.cmp(one)))
}

/// The places of the tasks that may run.
pub(super) fn free<'t, T: Waiting>(
    tasks: &'t VecDeque<T>,
    held: &'t [(String, Hold)],
) -> impl Iterator<Item = usize> + 't {
    let (mut running, mut waiting) = (HashMap::new(), HashMap::new());
    for (table, hold) in held {
        note(&mut running, table, *hold);
    }
    tasks.iter().take(WINDOW).enumerate().filter_map(move |(at, task)| {
        let is_free = task.holds().iter().all(|(table, hold)| {
            all(&running, table, |other| hold.goes_with(other))
                && all(&waiting, table, |other| hold.overtakes(other))
        });
        for (table, hold) in task.holds() {
            note(&mut waiting, table, *hold);
        }
        is_free.then_some(at)
    })
}

/// Whether all holds of a table are as wanted.
fn all(holds: &HashMap<&str, Vec<Hold>>, table: &str, is_wanted: impl Fn(Hold) -> bool) -> bool {
    holds.get(table).is_none_or(|others| others.iter().all(|other| is_wanted(*other)))
}

fn note<'t>(holds: &mut HashMap<&'t str, Vec<Hold>>, table: &'t str, hold: Hold) {
    let known = holds.entry(table).or_default();
    if !known.contains(&hold) {
        known.push(hold);
    }
}

/// The work that hangs on each task: its own, and the most that hangs on one that waits for it; or on one that
/// it excludes, where both may come in any order: the shorter one had better be over when the longer may run.
fn work<T: Waiting>(tasks: &VecDeque<T>) -> Vec<u64> {
    let window = tasks.len().min(WINDOW);
    let excludes = |hold: Hold| hold.overtakes(hold) && !hold.goes_with(hold);
    let mut longest: HashMap<&str, u64> = HashMap::new();
    for task in tasks.iter().take(window) {
        for (table, _) in task.holds().iter().filter(|(_, hold)| excludes(*hold)) {
            let most = longest.entry(table).or_default();
            *most = (*most).max(task.weight());
        }
    }
    let mut behind: HashMap<(&str, Hold), u64> = HashMap::new();
    let mut all = vec![0; window];
    for (task, work) in tasks.iter().take(window).zip(&mut all).rev() {
        let hanging = task.holds().iter().flat_map(|(table, hold)| {
            let later = Hold::ALL.into_iter().filter(|later| !later.overtakes(*hold));
            let waiting = later.filter_map(|later| behind.get(&(table.as_str(), later)).copied());
            let longer = longest.get(table.as_str()).filter(|most| excludes(*hold) && **most > task.weight());
            waiting.chain(longer.copied())
        });
        *work = task.weight().saturating_add(hanging.max().unwrap_or_default());
        for (table, hold) in task.holds() {
            let most = behind.entry((table, *hold)).or_default();
            *most = (*most).max(*work);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Task(u64, Vec<(String, Hold)>);

    impl Waiting for Task {
        fn holds(&self) -> &[(String, Hold)] {
            &self.1
        }

        fn weight(&self) -> u64 {
            self.0
        }
    }

    fn held(text: &str) -> Vec<(String, Hold)> {
        let one = |word: &str| {
            let (hold, table) = word.split_at(1);
            let hold = match hold {
                "r" => Hold::Rows,
                "s" => Hold::Share,
                "b" => Hold::Bind,
                "c" => Hold::Read,
                _ => Hold::Alone,
            };
            (table.to_owned(), hold)
        };
        text.split_whitespace().map(one).collect()
    }

    fn tasks(all: &[(u64, &str)]) -> VecDeque<Task> {
        all.iter().map(|(weight, holds)| Task(*weight, held(holds))).collect()
    }

    #[test]
    fn a_task_waits_for_what_holds_its_table_and_for_what_came_before_it() {
        for (running, waiting, expected) in [
            ("", vec![], None),
            ("", vec![(0, "sa"), (0, "sa")], Some(0)),
            ("sa", vec![(0, "sa")], Some(0)),
            ("sa", vec![(0, "aa"), (0, "sa"), (0, "sb")], Some(2)),
            ("ra", vec![(0, "ra")], Some(0)),
            ("aa", vec![(0, "ra"), (0, "sa")], None),
            // An index of a table whose rows wait does not overtake them.
            ("rb", vec![(9, "ra"), (0, "sa"), (50, "aa")], Some(0)),
            ("aa", vec![(1, "aa ab"), (9, "sb"), (0, "sc")], Some(2)),
            // Foreign keys do not wait for one another, but for what runs; nor does counting wait for them.
            ("sa", vec![(9, "ba bb"), (1, "bb bc")], Some(1)),
            ("ba bb", vec![(9, "bb bc"), (0, "cb")], Some(1)),
            ("sa", vec![(9, "aa"), (1, "ba bb"), (0, "ca"), (0, "cd")], Some(3)),
        ] {
            assert_eq!(next(&tasks(&waiting), &held(running)), expected, "{running}: {waiting:?}");
        }
    }

    #[test]
    fn the_task_goes_first_on_which_most_work_hangs() {
        for (waiting, expected) in [
            (vec![(1, "ra"), (5, "rb"), (2, "rc")], 1),
            // Those of `a` are the longer chain together.
            (vec![(5, "rb"), (2, "ra"), (2, "aa"), (2, "sa")], 1),
            // Indexes of one table do not wait for each other.
            (vec![(5, "rb"), (2, "ra"), (2, "sa"), (2, "sa")], 0),
            // A foreign key waits for both of its tables.
            (vec![(5, "rb"), (3, "ra"), (1, "rc"), (4, "aa ac")], 1),
            (vec![(3, "ra"), (3, "rb")], 0),
            // The shorter of two keys that exclude each other had better be over when the longer may be added.
            (vec![(4, "rd"), (1, "rc"), (6, "ba bb"), (2, "bb bc")], 1),
            (vec![(4, "rd"), (1, "rc"), (6, "ba bb"), (2, "be bc")], 2),
        ] {
            assert_eq!(next(&tasks(&waiting), &[]), Some(expected), "{waiting:?}");
        }
    }
}
