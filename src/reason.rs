//! Every stable reason a run can end with, in one place.
//!
//! Conditions, exit codes, messages and `docs/reasons.md` all come from [`Reason`]. A name here is
//! part of the API: it is never renamed, only added.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of trouble a reason is; with `touched` it decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The manifest, the flags or the secrets need a change.
    Request,
    /// The backup is not good, or cannot be shown to be.
    Backup,
    /// The storage destination could not deliver.
    Storage,
    /// The target does not fit, or refused.
    Target,
    /// A person has to decide.
    Confirmation,
    /// The run was stopped from outside.
    Stopped,
    /// The cluster could not run the pod of the restore, or took it away.
    Cluster,
    /// A defect of this program.
    Internal,
}

impl Class {
    /// Heading of the group in `docs/reasons.md`.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Request => "The request",
            Self::Backup => "The backup",
            Self::Storage => "The storage destination",
            Self::Target => "The target",
            Self::Confirmation => "A person has to decide",
            Self::Stopped => "Stopped from outside",
            Self::Cluster => "The cluster",
            Self::Internal => "A defect of Reinstate",
        }
    }
}

/// One row of the table of reasons.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The name as it stands in conditions and reports.
    pub name: &'static str,
    /// What kind of trouble it is.
    pub class: Class,
    /// Whether the same run may succeed later with nothing changed.
    pub retryable: bool,
    /// What it means, one sentence.
    pub meaning: &'static str,
    /// What to do about it, one or two sentences.
    pub hint: &'static str,
}

macro_rules! reasons {
    ($($name:ident, $class:ident, $retry:literal, $meaning:literal, $hint:literal;)+) => {
        /// Why a run ended as it did. See `docs/reasons.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)+
        }

        impl Reason {
            /// All reasons, in the order of the page.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The reason's row: name, class, meaning, hint.
            pub const fn facts(self) -> Facts {
                match self {
                    $(Self::$name => Facts {
                        name: stringify!($name),
                        class: Class::$class,
                        retryable: $retry,
                        meaning: $meaning,
                        hint: $hint,
                    },)+
                }
            }
        }
    };
}

reasons! {
    InvalidSpec, Request, false,
        "The manifest or a value in it is not valid.",
        "Correct what the message names and try again.";
    ReferenceNotFound, Request, false,
        "An object that the manifest refers to is not there.",
        "Create the object in the same namespace, or correct its name; locally, pass its file with `-f` too.";
    SecretMissing, Request, false,
        "A Secret that is referred to is not there.",
        "Create the Secret in the same namespace; locally, pass its manifest with `-f` too.";
    SecretKeyMissing, Request, false,
        "The Secret is there, but not the key in it, or its value is empty.",
        "Check `secretKeyRef.key` against the keys of the Secret.";
    InvalidKey, Request, false,
        "The value of a key is not of the form that its kind needs.",
        "An AES-256 key is 64 hexadecimal digits; an age identity starts with AGE-SECRET-KEY-1.";
    UnsupportedKeyType, Request, false,
        "The key or the recipient is of a type that cannot be used here.",
        "Use an X25519 age identity, an age passphrase or an AES-256 key.";
    RestoresForbidden, Request, false,
        "The connection forbids restores.",
        "Restore to another connection, or set `restores: Allowed` on this one.";
    HooksForbidden, Request, false,
        "The manifest brings SQL of its own, and the connection does not allow that.",
        "Set `allowHooks: true` on the connection, or remove the hooks.";
    NotSupported, Request, false,
        "The manifest asks for something that this version cannot do.",
        "Remove the field that the message names, or use a version that can.";

    KeyMissing, Backup, false,
        "The backup is encrypted and no key was given.",
        "Name a profile with `encryption.profileRef` or allow discovery; for `verify` and `extract` pass `--keys`.";
    NoProfileFits, Backup, false,
        "The backup is encrypted and none of the keys opens it.",
        "Import the right key (a Recovery Kit works as it is). Where the backup has no checksum, damage looks the same as a wrong key: check the file too.";
    SidecarMissing, Backup, false,
        "The backup is encrypted and lies without its `.meta.json`, which holds the IV and the tag.",
        "Put the `.meta.json` of the same name beside the backup; without it nobody can open it.";
    NotEncrypted, Backup, false,
        "A key was named for the backup, but the backup is not encrypted.",
        "Somebody may have put another file in its place. If it is right that it is not encrypted, name no key.";
    Tampered, Backup, false,
        "The key fits, but the content fails its authentication: the backup was damaged or changed.",
        "Do not use this backup. Take another one, and find out who or what changed this one.";
    Truncated, Backup, false,
        "The backup ends too early.",
        "The file is incomplete: copy it again from its origin, or use another backup.";
    ChecksumMismatch, Backup, false,
        "The SHA-256 of the stored file is not the expected one: the file is damaged, cut, or not the one that was backed up.",
        "Copy the backup again from its origin, or use another one.";
    CorruptBackup, Backup, false,
        "The content of the backup contradicts itself.",
        "The file is damaged: copy it again from its origin, or use another backup.";
    Unproven, Backup, false,
        "Nothing proves that the backup is whole: no tag, no checksum and no end mark.",
        "Give its SHA-256 with `checksum.sha256` (`--sha256`), or accept the risk with `allowUnproven: true` (`--allow-unproven`).";
    IncompleteDump, Backup, false,
        "The dump tool itself gave up while it wrote this backup.",
        "The dump is not a whole database. Use another backup and look at the source's dump log.";
    UnsupportedFormat, Backup, false,
        "The backup is of a format that cannot be read or restored here.",
        "See the list of formats; a wrong `format` or `compression` in the manifest looks the same.";
    UnsupportedEncoding, Backup, false,
        "The text of the dump is in a character encoding that cannot be read here.",
        "Dump again with `--encoding=UTF8`.";
    EngineMismatch, Backup, false,
        "The backup comes from another database engine than the target.",
        "Choose a connection of the backup's engine.";
    DatabaseNotInBackup, Backup, false,
        "A database named in the mapping is not in the backup.",
        "`reinstate verify` lists the databases of a backup.";
    UnsafeContent, Backup, false,
        "The backup holds something that no dump tool writes, or that would leave the target database.",
        "Do not restore it before you know where it comes from. The message names the place.";
    LimitExceeded, Backup, false,
        "A size in the backup is over a safety limit.",
        "If the backup is trusted and really that large, raise the limit that the message names.";
    BackupTooOld, Backup, false,
        "The newest matching backup is older than `maxAge` allows.",
        "Find out why no newer backup was made, or raise `maxAge`.";

    SourceNotFound, Storage, false,
        "The backup, bucket or folder is not there.",
        "Check the path against `reinstate list`.";
    SourceAccessDenied, Storage, false,
        "The storage destination refused access.",
        "Check the credentials and that they may read the bucket and prefix.";
    SourceUnavailable, Storage, true,
        "The storage destination could not be reached, or stopped answering.",
        "Check the endpoint, the network and the destination's health; the same run can be tried again.";
    SourceTLSFailed, Storage, false,
        "The storage destination's certificate could not be verified.",
        "Give the CA with `tls.caSecretKeyRef` (or `--ca-file`), and check the endpoint's host name.";
    SourceChanged, Storage, true,
        "The backup changed while it was read.",
        "Something writes to this path. Start again once it holds still; if nothing should write there, find out what does.";

    TargetNotEmpty, Target, false,
        "The target holds data and the policy is `Refuse`.",
        "Restore under another name, or use `overwrite.policy: Ask` and confirm.";
    TargetNotFound, Target, false,
        "The place where the target should be is not there.",
        "Create the folder, volume or database, or correct its name; locally, map a claim with `--claim NAME=DIR`.";
    TargetUnavailable, Target, true,
        "The target's server could not be reached, or stopped answering.",
        "Check host, port, network and the server's health and log; the report says whether the target was touched.";
    TargetAccessDenied, Target, false,
        "The target's server refused the login.",
        "Check user, password and what the server lets in from here (PostgreSQL: `pg_hba.conf`).";
    TargetTLSFailed, Target, false,
        "The connection to the target's server could not be secured.",
        "Give the CA with `tls.caSecretKeyRef`, and check the host name against the certificate; `tls.mode` can ask for less.";
    IdentityMismatch, Target, false,
        "The server is not the one that `expectIdentity` names.",
        "Find out which server answers under this name; correct host and port, or `expectIdentity` if it was replaced on purpose.";
    ExtensionNotAvailable, Target, false,
        "The backup needs an extension that the server does not have, or that the login may not create.",
        "Install the extension at the server. One that only a superuser may create can be created beforehand in an empty database, for a login without CREATEDB to load into.";
    RoleMissing, Target, false,
        "The backup names a role that the server does not have.",
        "Create the role, map it to one that is there (`target.roles.map`), or leave out what names it (`target.roles.missing: Skip`; `owners: Login` and `privileges: Skip` leave out all owners and rights).";
    TablespaceMissing, Target, false,
        "The backup names a tablespace that the server does not have, or that the login may not use.",
        "Create it or grant CREATE on it, or set `target.objects.tablespaces: Skip`: then everything lies in the database's own.";
    LocaleNotAvailable, Target, false,
        "The backup's database has an encoding or a locale that the server does not have.",
        "Install what the message names at the server, or create the empty database with a locale that it has, for the run to load into.";
    PoolerNotSupported, Target, false,
        "A connection pooler answers in the server's place, and locks would not hold behind it.",
        "Name the server's own host and port in the connection.";
    TargetLocked, Target, true,
        "Another restore works on the same target.",
        "Wait for it to end.";
    TargetBusy, Target, true,
        "Applications use the target and did not let go in time.",
        "Stop them or let them finish, then try again.";
    TargetChanged, Target, true,
        "The target changed between the preflight and the switch.",
        "Look at what writes to it, then start again.";
    PermissionDenied, Target, false,
        "The target refused a needed right.",
        "The message names the right. Grant it, use privileged credentials, or prepare the target yourself.";
    SuperuserRefused, Target, false,
        "The login that restores is a superuser, with whose rights code in the backup would run.",
        "Give `credentials` of a role that owns the database and nothing else, and the strong ones as `privilegedCredentials`; or set `allowSuperuser: true` for backups that you trust.";
    NoRoom, Target, false,
        "There is not enough room at the target.",
        "Free as much as the message says, or use a larger volume.";
    VersionTooNew, Target, false,
        "The backup comes from a newer release series than the target can read.",
        "Upgrade the target, use an older backup, or set `versionGuard: Warn` if you know it fits.";
    SwapNotPossible, Target, false,
        "The old data cannot be kept serving while the new is loaded beside it.",
        "The message lists the obstacles and the ways out.";
    TargetCorrupt, Target, false,
        "The existing target is itself damaged, so it can neither be kept nor replaced safely.",
        "Move it away by hand and restore again.";
    RestoreFailed, Target, false,
        "The database refused a statement of the backup.",
        "The message holds the database's own error and the place in the backup.";
    HookFailed, Target, false,
        "SQL of the manifest that runs before the switch failed.",
        "The message names the hook and its line. Correct it and start a new restore; the old data serve.";
    VerificationFailed, Target, false,
        "What was loaded is not equal to the backup.",
        "Keep the report and look for the cause before you try again; the report says whether the target was touched.";

    ConfirmationRequired, Confirmation, false,
        "The target holds data that would be replaced, and nobody has confirmed it.",
        "Read what would be lost, then add the exact name to `overwrite.confirm`.";
    ConfirmationExpired, Confirmation, false,
        "The confirmation in the manifest is past its `confirmUntil`.",
        "Decide again: set a later `confirmUntil`, or remove the confirmation.";

    PlanChanged, Confirmation, false,
        "What was confirmed is not what would be done now: the backup, the target or an object that the manifest refers to has changed since the plan was shown.",
        "Look at the new plan in `status.plan`, then confirm it: `kubectl reinstate confirm NAME`, or set `overwrite.confirmedPlan` to its token.";
    AlreadyExecuted, Confirmation, false,
        "A restore of this name ran before and this object was created anew, so a confirmation that stands in its manifest is an old one.",
        "If the data is to be replaced once more, confirm the shown plan: `kubectl reinstate confirm NAME`, or set `overwrite.confirmedPlan`. For re-creation on purpose change `recreateToken`.";
    ConfirmationTimeout, Confirmation, false,
        "Nobody confirmed within `confirmationTimeout`.",
        "Create a new DatabaseRestore when the decision is made.";

    Cancelled, Stopped, false,
        "The run was cancelled by `cancel: true`.",
        "Create a new DatabaseRestore to restore after all.";
    StartingDeadlineExceeded, Stopped, false,
        "The run could not start within `startingDeadline`.",
        "Look at what it waited for, then create a new DatabaseRestore.";
    Interrupted, Stopped, true,
        "The run was stopped by a signal or a cancel.",
        "The report says whether the target was touched; start again when ready.";
    DeadlineExceeded, Stopped, true,
        "The run took longer than its timeout.",
        "Raise `timeout`, or find out what is slow.";

    ImagePullFailed, Cluster, false,
        "The runner's image could not be pulled.",
        "Check the image's name, its registry and `runner.imagePullSecrets`; the image is set on the operator.";
    Unschedulable, Cluster, false,
        "No node can take the runner's pod.",
        "The message holds the scheduler's words. Check resources, node selectors, taints and the volume claims.";
    VolumeMountFailed, Cluster, false,
        "A volume of the runner's pod could not be mounted.",
        "Check the claim that the message names.";
    VolumeInUse, Cluster, false,
        "The volume is attached to another pod or node that does not let go of it.",
        "Stop the application that holds the volume, or let the runner run on its node with `runner.nodeSelector` or `runner.affinity`.";
    QuotaExceeded, Cluster, false,
        "A ResourceQuota or LimitRange of the namespace does not let the runner's pod be created.",
        "Make room in the quota, or set `runner.resources` to what it allows.";
    AdmissionDenied, Cluster, false,
        "An admission policy of the cluster does not let the runner's pod be created.",
        "The message holds the policy's words. The pod meets Pod Security `restricted`; check `runner` and the policy.";
    ContainerNotStarted, Cluster, false,
        "The runner's container could not be started.",
        "The message holds the kubelet's words.";
    StartTimeout, Cluster, false,
        "The runner did not start within `startTimeout`.",
        "Look at the pod's events, then create a new DatabaseRestore.";
    NameConflict, Cluster, false,
        "A Job of the run's name exists and belongs to something else.",
        "Remove that Job, or create the DatabaseRestore under another name.";
    OutOfMemory, Cluster, false,
        "The runner was killed because it used more memory than its limit.",
        "Raise `runner.resources.limits.memory`; the message names the limit.";
    Evicted, Cluster, true,
        "The runner's pod was evicted, preempted or deleted.",
        "The status says whether the target was touched. Find out what took the pod away before you start again.";
    NodeLost, Cluster, true,
        "The node of the runner's pod does not answer.",
        "Look at the node. The run is not started anew while its pod may still be alive.";
    RunnerLost, Cluster, true,
        "The runner ended without a verdict, or its Job is gone.",
        "Look at the target before you start again: the status says what is known of it.";

    InternalError, Internal, false,
        "Reinstate met a state that it should not meet.",
        "Please report it with the message and the version.";
}

impl Reason {
    /// The name as it stands in conditions and reports.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// What to do about it.
    pub const fn hint(self) -> &'static str {
        self.facts().hint
    }

    /// Whether the same run may succeed later with nothing changed.
    pub const fn is_retryable(self) -> bool {
        self.facts().retryable
    }

    /// The reason with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
