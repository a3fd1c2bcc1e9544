//! An operator of one test: a process with the rights of the table and no others, which watches the
//! test's namespace only, so that tests do not meet.

use std::fmt::Write as _;
use std::path::PathBuf;

use reinstate::operator::rbac::{RULES, Rule};

use super::{Audit, Namespace, Process, RUNNER_IMAGE};

/// Name of the operator's account.
pub(crate) const ACCOUNT: &str = "operator";

/// A running operator.
pub(crate) struct Operator {
    pub(crate) process: Process,
    pub(crate) arguments: Vec<String>,
    pub(crate) kubeconfig: PathBuf,
    _refused: NoneRefused,
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
        let refused = NoneRefused { namespace: namespace.name.clone(), audit: Audit::from_now() };
        let process = run(&kubeconfig, &arguments);
        Self { process, arguments, kubeconfig, _refused: refused }
    }

    /// Kills it in the midst of whatever it does, and starts it again.
    pub(crate) fn restart(&mut self) {
        self.process.kill();
        self.process = run(&self.kubeconfig, &self.arguments);
    }
}

/// No test may end with a request that the table does not grant.
struct NoneRefused {
    namespace: String,
    audit: Option<Audit>,
}

impl Drop for NoneRefused {
    fn drop(&mut self) {
        let Some(audit) = self.audit.as_ref().filter(|_| !std::thread::panicking()) else { return };
        let requests = audit.of_account(&self.namespace, ACCOUNT);
        let refused: Vec<_> = requests.iter().filter(|request| request.code == 403).collect();
        assert!(refused.is_empty(), "the operator may not do what it tried: {refused:#?}");
    }
}

/// Starts `reinstate` with the rights of `kubeconfig`.
pub(crate) fn run(kubeconfig: &std::path::Path, arguments: &[String]) -> Process {
    Process::start(kubeconfig, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A kubeconfig of the operator's account with what the table grants, in this namespace only.
pub(crate) fn granted(namespace: &Namespace) -> PathBuf {
    grant(namespace, namespace, RULES.iter());
    namespace.kubeconfig_of(ACCOUNT)
}

/// Grants these rules in a namespace to the account of the operator in `own`.
pub(crate) fn grant<'a>(namespace: &Namespace, own: &Namespace, rules: impl Iterator<Item = &'a Rule>) {
    let mut role = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: {ACCOUNT}}}\nrules:\n"
    );
    for rule in rules {
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
        own.name
    );
    namespace.apply(&(role + &binding));
}
