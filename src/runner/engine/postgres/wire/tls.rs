//! TLS by rustls: what is trusted and verified, and its errors in words that help.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};

use super::endpoint::{ClientCertificate, Tls, TlsMode};
use super::error::WireError;

/// Makes the TLS side of a connection to `host`; `None` where TLS is off.
pub(super) fn client(host: &str, tls: &Tls) -> Result<Option<ClientConnection>, WireError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match tls.mode {
        TlsMode::Disable => return Ok(None),
        TlsMode::VerifyFull => {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots(tls)?), Arc::clone(&provider))
                .build()
                .map_err(|error| WireError::Setting(format!("no CA can be used: {error}")))?
        }
        TlsMode::VerifyCa => Arc::new(Lenient { roots: Some(roots(tls)?), provider: Arc::clone(&provider) }),
        TlsMode::Require => Arc::new(Lenient { roots: None, provider: Arc::clone(&provider) }),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| WireError::Setting(format!("TLS cannot be set up: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let (chain, key) = own_certificate(client)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                WireError::Setting(format!("the client's certificate and key cannot be used: {error}"))
            })?
        }
    };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| WireError::Setting(format!("the host {host:?} is neither a name nor an address")))?;
    ClientConnection::new(Arc::new(config), name)
        .map(Some)
        .map_err(|error| WireError::Setting(format!("TLS cannot be set up: {error}")))
}

/// The CAs to trust: those given, else the system's.
fn roots(tls: &Tls) -> Result<RootCertStore, WireError> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = &tls.ca_pem else {
        // A broken one among the system's is no reason to refuse the others.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(WireError::Setting("the system has no CAs; give the server's CA".to_owned()));
        }
        return Ok(roots);
    };
    let refuse = |why: &str| WireError::Setting(format!("the server's CA cannot be used: {why}"));
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| refuse("it is not PEM"))?;
        roots.add(certificate).map_err(|_| refuse("a certificate in it is not X.509"))?;
    }
    if roots.is_empty() {
        return Err(refuse("there is no PEM certificate in it"));
    }
    Ok(roots)
}

fn own_certificate(
    client: &ClientCertificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), WireError> {
    let refuse =
        |what: &str| WireError::Setting(format!("the client's {what} cannot be used: it is not PEM"));
    let chain = CertificateDer::pem_slice_iter(&client.certificate_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| refuse("certificate"))?;
    if chain.is_empty() {
        return Err(refuse("certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(client.key_pem.expose()).map_err(|_| refuse("key"))?;
    Ok((chain, key))
}

/// Verifies less than everything, because the mode says so: the chain without the name, or nothing.
/// That the server holds the key of what it shows is verified in every mode.
#[derive(Debug)]
struct Lenient {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            let algorithms = self.provider.signature_verification_algorithms.all;
            let certificate = ParsedCertificate::try_from(end_entity)?;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// An error of TLS, in words that say what to do.
pub(super) fn trouble(error: &Error) -> WireError {
    let words = match error {
        Error::InvalidCertificate(certificate) => match certificate {
            // A trusted CA of the same name has another key: it was made anew.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the server's certificate is not signed by a trusted CA; give its CA with tls.caSecretKeyRef"
                    .to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has expired; renew it".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet; check the clocks".to_owned()
            }
            CertificateError::NotValidForName => {
                "the server's certificate is for another host name".to_owned()
            }
            CertificateError::NotValidForNameContext { expected, presented } if presented.is_empty() => {
                format!(
                    "the server's certificate names no host in its subjectAltName, so it cannot be that of \
                 {expected:?}; the common name alone is not looked at"
                )
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                let names = presented.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
                format!(
                    "the server's certificate is for another host name, {names}; use such a name as the \
                     connection's host, or VerifyCa"
                )
            }
            other => format!("the server's certificate cannot be verified: {other}"),
        },
        Error::AlertReceived(alert) => format!(
            "the server refused the TLS handshake with the alert {alert:?}; it may want a client certificate, \
             or know no TLS version of 1.2 and later"
        ),
        other => format!("the server does not speak TLS as it should: {other}"),
    };
    WireError::Tls(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn settings_that_cannot_be_used_are_refused_before_anything_is_sent() {
        let ca = |pem: &str| Tls { ca_pem: Some(pem.as_bytes().to_vec()), ..Tls::default() };
        let client = ClientCertificate { certificate_pem: Vec::new(), key_pem: Secret::new(Vec::new()) };
        for (host, tls, says) in [
            ("db", ca(""), "no PEM certificate"),
            ("db", ca("hello"), "no PEM certificate"),
            ("db", ca("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"), "not PEM"),
            ("db", ca("-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"), "not X.509"),
            ("a b", Tls { mode: TlsMode::Require, ..Tls::default() }, "neither a name nor an address"),
            (
                "db",
                Tls { mode: TlsMode::Require, client: Some(client), ..Tls::default() },
                "client's certificate",
            ),
        ] {
            let error = super::client(host, &tls).unwrap_err();
            assert!(matches!(error, WireError::Setting(_)), "{error:?}");
            assert!(error.to_string().contains(says), "{error}");
        }
        let off = Tls { mode: TlsMode::Disable, ..Tls::default() };
        assert!(super::client("any thing", &off).unwrap().is_none());
    }

    #[test]
    fn errors_say_what_to_do() {
        let certificate = Error::InvalidCertificate;
        for (error, says) in [
            (certificate(CertificateError::UnknownIssuer), "tls.caSecretKeyRef"),
            (certificate(CertificateError::BadSignature), "tls.caSecretKeyRef"),
            (certificate(CertificateError::Expired), "renew"),
            (certificate(CertificateError::NotValidForName), "another host name"),
            (
                certificate(CertificateError::NotValidForNameContext {
                    expected: ServerName::try_from("db").unwrap(),
                    presented: Vec::new(),
                }),
                "common name",
            ),
            (
                certificate(CertificateError::NotValidForNameContext {
                    expected: ServerName::try_from("db").unwrap(),
                    presented: vec!["DnsName(\"pg.example\")".to_owned()],
                }),
                "pg.example",
            ),
            (Error::AlertReceived(rustls::AlertDescription::CertificateRequired), "client certificate"),
            (Error::DecryptError, "speak TLS"),
        ] {
            assert!(trouble(&error).to_string().contains(says), "{}", trouble(&error));
        }
    }
}
