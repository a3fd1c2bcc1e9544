//! Opening a session: who logs in, how the password is shown to be known, what the server then tells.
//!
//! Source: PostgreSQL's manual, "Start-up" and "SASL Authentication".

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;
use zeroize::Zeroizing;

use super::answer::{Authentication, Message, Session};
use super::endpoint::Login;
use super::error::{ServerError, WireError, tame};
use super::link::{Link, Sink};
use super::patience::Patience;

/// Longest first message that a server takes, in bytes (`MAX_STARTUP_PACKET_LENGTH`).
const STARTUP_LIMIT_BYTES: usize = 10_000;

/// Logs in on a fresh connection.
pub(super) fn log_in(link: &mut Link, login: &Login, patience: &mut Patience) -> Result<Session, WireError> {
    startup(login, &mut link.out)?;
    link.push(&mut Silence, patience)?;
    let mut exchange = Exchange::new(login, link.socket.is_encrypted());
    loop {
        match link.message(patience)? {
            Message::Authentication(asked) => match exchange.answer(asked)? {
                Reply::Send(message) => {
                    link.send(&message, &mut Silence, patience)?;
                }
                Reply::Wait => {}
                Reply::Done => break,
            },
            Message::Error(body) => return Err(refused(&body, login)),
            // Notices before the login are nobody's that is known.
            Message::Notice(_) => {}
            _ => return Err(WireError::Protocol("it talks before it has let anybody in".to_owned())),
        }
    }
    let mut session = Session::default();
    loop {
        match session.take(link.message(patience)?) {
            None => {}
            Some(Message::KeyData { process, secret }) => {
                session.process = process;
                session.secret = secret;
            }
            Some(Message::Ready(_)) => return Ok(session),
            Some(Message::Error(body)) => return Err(refused(&body, login)),
            Some(_) => return Err(WireError::Protocol("it answers before it was asked".to_owned())),
        }
    }
}

/// The server's refusal, in which a hostile one could show the password that it was told.
fn refused(body: &[u8], login: &Login) -> WireError {
    let error = ServerError::parse_without(body, login.password.expose().as_bytes());
    WireError::Server(Box::new(error))
}

/// The first message: role, database, settings.
fn startup(login: &Login, out: &mut BytesMut) -> Result<(), WireError> {
    let Login { user, password: _, database, options } = login;
    let mut parameters = vec![("user", user.as_str()), ("database", database.as_str())];
    for (name, value) in [("application_name", "reinstate"), ("client_encoding", "UTF8")] {
        if !options.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)) {
            parameters.push((name, value));
        }
    }
    parameters.extend(options.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let refuse = |why: &str| WireError::Setting(format!("user, database and settings of a session {why}"));
    // An empty name would end the list, and what follows would be read as something else.
    if user.is_empty() || parameters.iter().any(|(name, _)| name.is_empty()) {
        return Err(refuse("need a name"));
    }
    frontend::startup_message(parameters, out).map_err(|_| refuse("hold a zero byte"))?;
    if out.len() > STARTUP_LIMIT_BYTES {
        out.clear();
        return Err(refuse("are longer than a server takes"));
    }
    Ok(())
}

/// Nothing may come while the login is sent; the messages fit the network's buffers.
struct Silence;

impl Sink for Silence {
    fn take(&mut self, _: Message) -> Result<(), WireError> {
        Err(WireError::Protocol("it talks while it should listen".to_owned()))
    }
}

/// What follows from a step of the server.
enum Reply {
    /// This message.
    Send(Zeroizing<Vec<u8>>),
    /// Nothing; more is to come.
    Wait,
    /// The role is in.
    Done,
}

/// The proof that the password is known.
struct Exchange<'a> {
    user: &'a str,
    password: &'a str,
    encrypted: bool,
    scram: Scram,
}

enum Scram {
    None,
    Begun(Box<ScramSha256>),
    /// The client has proven itself; the server has not.
    Answered(Box<ScramSha256>),
    /// Both have.
    Proven,
}

impl<'a> Exchange<'a> {
    fn new(login: &'a Login, encrypted: bool) -> Self {
        Self { user: &login.user, password: login.password.expose(), encrypted, scram: Scram::None }
    }

    /// Decides what to answer.
    fn answer(&mut self, asked: Authentication) -> Result<Reply, WireError> {
        if !matches!(asked, Authentication::Ok) && self.password.is_empty() {
            let words = format!("the server asks {:?} for a password and none was given", self.user);
            return Err(WireError::Login(words));
        }
        match asked {
            Authentication::Ok => match self.scram {
                Scram::None | Scram::Proven => Ok(Reply::Done),
                Scram::Begun(_) | Scram::Answered(_) => Err(not_proven()),
            },
            Authentication::Cleartext if self.encrypted => password(self.password.as_bytes()),
            Authentication::Cleartext => Err(WireError::Login(
                "the server asks for the password in plain text on a connection without TLS, which is not sent; \
                 set tls.mode, or use scram-sha-256 in the server's `pg_hba.conf`"
                    .to_owned(),
            )),
            Authentication::Md5(salt) => {
                let hash = md5_hash(self.user.as_bytes(), self.password.as_bytes(), salt);
                password(hash.as_bytes())
            }
            Authentication::Sasl(mechanisms) => self.begin(&mechanisms),
            Authentication::SaslContinue(message) => self.go_on(&message),
            Authentication::SaslFinal(message) => self.finish(&message),
            Authentication::Other(name) => Err(WireError::Login(format!(
                "the server asks for {name}, which cannot be done here; use scram-sha-256 in its `pg_hba.conf`"
            ))),
        }
    }

    fn begin(&mut self, mechanisms: &[Vec<u8>]) -> Result<Reply, WireError> {
        if !mechanisms.iter().any(|name| name == SCRAM_SHA_256.as_bytes()) {
            let words = "the server offers no SASL mechanism that can be done here, which is SCRAM-SHA-256";
            return Err(WireError::Login(words.to_owned()));
        }
        if !matches!(self.scram, Scram::None) {
            return Err(WireError::Protocol("it begins the login twice".to_owned()));
        }
        // The certificate is verified by TLS, and the server proves that it knows the password.
        let scram = ScramSha256::new(self.password.as_bytes(), ChannelBinding::unsupported());
        let mut message = BytesMut::new();
        frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut message)
            .map_err(|_| too_long())?;
        self.scram = Scram::Begun(Box::new(scram));
        Ok(Reply::Send(Zeroizing::new(message.to_vec())))
    }

    fn go_on(&mut self, message: &[u8]) -> Result<Reply, WireError> {
        let Scram::Begun(mut scram) = std::mem::replace(&mut self.scram, Scram::None) else {
            return Err(WireError::Protocol("a step of the login came out of order".to_owned()));
        };
        scram.update(message).map_err(|error| {
            // The library quotes only what the server sent.
            let words = tame(error.to_string().as_bytes());
            WireError::Protocol(format!("a step of SCRAM is not valid: {words}"))
        })?;
        let mut reply = BytesMut::new();
        frontend::sasl_response(scram.message(), &mut reply).map_err(|_| too_long())?;
        self.scram = Scram::Answered(scram);
        Ok(Reply::Send(Zeroizing::new(reply.to_vec())))
    }

    fn finish(&mut self, message: &[u8]) -> Result<Reply, WireError> {
        let Scram::Answered(mut scram) = std::mem::replace(&mut self.scram, Scram::None) else {
            return Err(WireError::Protocol("a step of the login came out of order".to_owned()));
        };
        scram.finish(message).map_err(|_| not_proven())?;
        self.scram = Scram::Proven;
        Ok(Reply::Wait)
    }
}

/// A `PasswordMessage`, put together where it is wiped afterwards.
fn password(bytes: &[u8]) -> Result<Reply, WireError> {
    if bytes.contains(&0) {
        return Err(WireError::Login("a password with a zero byte in it cannot be sent".to_owned()));
    }
    let length = u32::try_from(bytes.len() + 5).map_err(|_| too_long())?;
    let mut message = Zeroizing::new(Vec::with_capacity(bytes.len() + 6));
    message.push(b'p');
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(bytes);
    message.push(0);
    Ok(Reply::Send(message))
}

fn not_proven() -> WireError {
    WireError::Login(
        "the server has not proven that it knows the password: it may not be the one that it should be"
            .to_owned(),
    )
}

fn too_long() -> WireError {
    WireError::Login("the password is too long to be sent".to_owned())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::secret::Secret;

    fn login(password: &str) -> Login {
        Login {
            user: "owner".to_owned(),
            password: Secret::new(password.to_owned()),
            database: "shop".to_owned(),
            options: Vec::new(),
        }
    }

    #[test]
    fn the_first_message_holds_the_settings_and_no_password() {
        let mut own = login("hunter2");
        own.options =
            vec![("Client_Encoding".into(), "SQL_ASCII".into()), ("search_path".into(), String::new())];
        let mut out = BytesMut::new();
        startup(&own, &mut out).unwrap();
        let text = String::from_utf8_lossy(&out);
        for part in
            ["user\0owner\0", "database\0shop\0", "application_name\0reinstate\0", "search_path\0\0\0"]
        {
            assert!(text.contains(part), "{part:?} in {text:?}");
        }
        assert!(!text.contains("UTF8") && !text.contains("hunter2"), "{text:?}");
    }

    #[test]
    fn names_that_would_be_read_as_something_else_are_refused() {
        let with = |change: fn(&mut Login)| {
            let mut login = login("x");
            change(&mut login);
            login
        };
        for login in [
            with(|login| login.user.clear()),
            with(|login| login.user = "a\0database\0b".into()),
            with(|login| login.database = "a\0".into()),
            with(|login| login.options.push((String::new(), "x".into()))),
            with(|login| login.database = "x".repeat(20_000)),
        ] {
            let mut out = BytesMut::new();
            assert!(matches!(startup(&login, &mut out), Err(WireError::Setting(_))), "{login:?}");
        }
    }

    /// The answers to what a server asks, one after the other.
    fn answers(login: &Login, encrypted: bool, asked: Vec<Authentication>) -> Result<Vec<u8>, WireError> {
        let mut exchange = Exchange::new(login, encrypted);
        let mut last = Vec::new();
        for asked in asked {
            match exchange.answer(asked)? {
                Reply::Send(message) => last = message.to_vec(),
                Reply::Wait | Reply::Done => {}
            }
        }
        Ok(last)
    }

    #[test]
    fn the_password_is_sent_only_as_it_may_be() {
        let scram = || Authentication::Sasl(vec![b"SCRAM-SHA-256".to_vec()]);
        let login = login("hunter2");
        let sent = answers(&login, true, vec![Authentication::Cleartext]).unwrap();
        assert_eq!(sent, b"p\0\0\0\x0chunter2\0");
        let sent = answers(&login, false, vec![Authentication::Md5([1, 2, 3, 4])]).unwrap();
        assert!(sent.starts_with(b"p\0\0\0\x28md5"), "{}", sent.escape_ascii());
        let sent = answers(&login, false, vec![scram()]).unwrap();
        assert!(
            sent.starts_with(b"p") && sent.windows(3).any(|part| part == b"n,,"),
            "{}",
            sent.escape_ascii()
        );
        assert!(!sent.windows(7).any(|part| part == b"hunter2"));

        for (encrypted, asked, says) in [
            (false, vec![Authentication::Cleartext], "without TLS"),
            (true, vec![Authentication::Other("GSSAPI".into())], "GSSAPI"),
            (true, vec![Authentication::Sasl(vec![b"SCRAM-SHA-256-PLUS".to_vec()])], "no SASL mechanism"),
            (true, vec![scram(), scram()], "twice"),
            (true, vec![scram(), Authentication::Ok], "not proven"),
            (true, vec![Authentication::SaslContinue(Bytes::new())], "out of order"),
            (true, vec![scram(), Authentication::SaslFinal(Bytes::new())], "out of order"),
            (
                true,
                vec![scram(), Authentication::SaslContinue(Bytes::from_static(b"r=evil,s=YQ==,i=1"))],
                "SCRAM",
            ),
        ] {
            let error = answers(&login, encrypted, asked).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_server_that_asks_for_nothing_lets_in_and_one_that_asks_needs_a_password() {
        assert!(answers(&login(""), true, vec![Authentication::Ok]).is_ok());
        let error = answers(&login(""), true, vec![Authentication::Md5([0; 4])]).unwrap_err();
        assert!(error.to_string().contains("none was given"), "{error}");
    }
}
