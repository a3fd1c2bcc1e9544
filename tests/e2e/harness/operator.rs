//! An operator of one test: a process with the rights of the table and no others, which watches the
//! test's namespace only, so that tests do not meet.

use std::fmt::Write as _;
use std::path::PathBuf;

use reinstate::operator::rbac::RULES;

use super::{Namespace, Process, RUNNER_IMAGE};

/// Name of the operator's account.
pub(crate) const ACCOUNT: &str = "operator";

/// A running operator.
pub(crate) struct Operator {
    pub(crate) process: Process,
    pub(crate) arguments: Vec<String>,
    pub(crate) kubeconfig: PathBuf,
}

impl Operator {
    /// Starts one for `namespace`.
    pub(crate) fn start(namespace: &Namespace) -> Self {
        Self::start_with(namespace, &[])
    }

    /// Starts one with further arguments.
    pub(crate) fn start_with(namespace: &Namespace, further: &[&str]) -> Self {
        let kubeconfig = granted(namespace);
        let image = if further.contains(&"--runner-image") { "" } else { RUNNER_IMAGE };
        let mut arguments: Vec<String> = [
            "operator",
            "--namespace",
            &namespace.name,
            "--watch-namespace",
            &namespace.name,
            "--listen",
            "127.0.0.1:0",
        ]
        .map(str::to_owned)
        .to_vec();
        if !image.is_empty() {
            arguments.extend(["--runner-image".to_owned(), image.to_owned()]);
        }
        if !further.contains(&"--leader-election=true") {
            arguments.push("--leader-election=false".to_owned());
        }
        arguments.extend(further.iter().map(|argument| (*argument).to_owned()));
        let process = run(&kubeconfig, &arguments);
        Self { process, arguments, kubeconfig }
    }

    /// Kills it in the midst of whatever it does, and starts it again.
    pub(crate) fn restart(&mut self) {
        self.process.kill();
        self.process = run(&self.kubeconfig, &self.arguments);
    }
}

/// Starts `reinstate` with the rights of `kubeconfig`.
pub(crate) fn run(kubeconfig: &std::path::Path, arguments: &[String]) -> Process {
    Process::start(kubeconfig, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A kubeconfig of the operator's account with what the table grants, in this namespace only.
pub(crate) fn granted(namespace: &Namespace) -> PathBuf {
    let mut role = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: {ACCOUNT}}}\nrules:\n"
    );
    for rule in RULES {
        writeln!(
            role,
            "- {{apiGroups: ['{}'], resources: {:?}, verbs: {:?}}}",
            rule.group, rule.resources, rule.verbs
        )
        .unwrap();
    }
    let binding = format!(
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: {ACCOUNT}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {ACCOUNT}}}\n\
         subjects: [{{kind: ServiceAccount, name: {ACCOUNT}, namespace: {}}}]\n",
        namespace.name
    );
    namespace.apply(&(role + &binding));
    namespace.kubeconfig_of(ACCOUNT)
}
