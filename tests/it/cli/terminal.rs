//! The question on a terminal, and two runs at once on one target. `script` (util-linux) gives the
//! terminal.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::{Ended, Scene, snapshot};
use crate::parts::wait_until;

/// A run on a terminal of its own.
pub(super) struct OnTerminal {
    child: Child,
    keyboard: Option<ChildStdin>,
    screen: std::path::PathBuf,
}

impl OnTerminal {
    pub(super) fn start(scene: &Scene) -> Self {
        let quoted: Vec<String> =
            scene.arguments().iter().map(|argument| format!("'{}'", argument.replace('\'', ""))).collect();
        let line = format!("exec '{}' {}", env!("CARGO_BIN_EXE_reinstate"), quoted.join(" "));
        let screen = scene.folder.path().join("screen");
        let mut child = Command::new("script")
            .args(["-qefc", &line])
            .arg(&screen)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("script (bsdutils) is needed");
        let keyboard = child.stdin.take();
        Self { child, keyboard, screen }
    }

    pub(super) fn shown(&self) -> String {
        let mut text = Vec::new();
        // It is made when the terminal is.
        if let Ok(mut file) = std::fs::File::open(&self.screen) {
            file.read_to_end(&mut text).unwrap();
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    pub(super) fn wait_for(&self, text: &str) {
        wait_until(&format!("{text:?} is shown"), || self.shown().contains(text));
    }

    pub(super) fn press(&mut self, keys: &[u8]) {
        let keyboard = self.keyboard.as_mut().unwrap();
        keyboard.write_all(keys).and_then(|()| keyboard.flush()).unwrap();
    }

    pub(super) fn end(mut self) -> Ended {
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        drop(self.keyboard.take());
        Ended { code, out: self.shown(), err: String::new() }
    }
}

#[test]
fn only_the_exact_name_typed_on_a_terminal_replaces_the_data() {
    for (typed, code) in [
        ("app.db\n", 0),
        ("y\n", 3),
        ("\n", 3),
        ("APP.DB\n", 3),
        ("app.db \n", 3),
        ("app\n", 3),
        ("\u{4}", 3),
    ] {
        let scene = Scene::over_data("");
        let before = snapshot(&scene.data());
        let mut terminal = OnTerminal::start(&scene);
        terminal.wait_for("anything else to stop:");
        terminal.press(typed.as_bytes());
        let ended = terminal.end().expect(
            code,
            &[
                "app.db holds 1 table, ≈3 rows, 8.00 KiB",
                "made 2026-11-23 01:13 UTC",
                "Type app.db to replace it",
            ],
        );
        assert_eq!(ended.out.contains("Restored demo"), code == 0, "{typed:?}");
        assert_eq!(snapshot(&scene.data()) == before, code != 0, "{typed:?}");
    }
}

#[test]
fn an_empty_target_is_not_asked_about() {
    let scene = Scene::new();
    let ended = OnTerminal::start(&scene).end().expect(0, &["Restored demo"]);
    assert!(!ended.out.contains("Type app.db"), "{}", ended.out);
}

#[test]
fn ctrl_c_at_the_question_ends_the_run_at_once_and_untouched() {
    let scene = Scene::over_data("");
    let before = snapshot(&scene.data());
    let mut terminal = OnTerminal::start(&scene);
    terminal.wait_for("anything else to stop:");
    terminal.press(b"\x03");
    terminal.end().expect(30, &["Interrupted", "the target was not touched"]);
    assert_eq!(snapshot(&scene.data()), before);
}

#[test]
fn a_second_run_on_the_same_target_is_kept_away_until_the_first_has_ended() {
    let scene = Scene::over_data("");
    let mut first = OnTerminal::start(&scene);
    first.wait_for("anything else to stop:");
    scene.run(&[]).expect(12, &["TargetLocked", "the target was not touched"]);
    first.press(b"no\n");
    first.end().expect(3, &[]);
    scene.run(&[]).expect(3, &["ConfirmationRequired"]);
}
