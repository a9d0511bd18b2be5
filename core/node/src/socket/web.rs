//! WebSocket connections, plain or under TLS, with the same trust in certificates as HTTP has.
//!
//! Goes through no proxy. Pings are answered by the library; that they say nothing of the node
//! behind a gateway is why the heartbeat is a call.

use super::pipe::{Break, Pipe};
use crate::{
    address::{Address, ConfigError},
    classify::{self, ErrorReply},
    http::retry_after_ms,
    origin::chain_of,
    secret::basic_authorization,
};
use event::{FaultClass, NodeId};
use futures_util::{Sink, Stream, ready};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use rustls_platform_verifier::BuilderVerifierExt;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, crypto::aws_lc_rs, pki_types::ServerName},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        error::CapacityError,
        handshake::client::{Request, Response},
        protocol::WebSocketConfig,
    },
};

/// Read at a time; answers are larger, and grow their own buffer.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// How to make a WebSocket connection.
pub(super) struct WebDialer {
    /// Without user part and fragment.
    url: String,
    host: String,
    port: u16,
    headers: HeaderMap,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    max_body_bytes: u64,
}

impl WebDialer {
    pub(super) fn new(address: &Address, max_body_bytes: u64) -> Result<Self, ConfigError> {
        let mut url = address.url.clone();
        let mut headers = address.headers.clone();
        if let Some(basic) = basic_authorization(&url)
            && !headers.contains_key(AUTHORIZATION)
        {
            let mut value = HeaderValue::try_from(basic)
                .map_err(|_| ConfigError::Url("its user part is not allowed in HTTP"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let no_host = ConfigError::Url("no host");
        url.set_fragment(None);
        if url.set_username("").and_then(|()| url.set_password(None)).is_err() {
            return Err(no_host);
        }
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(no_host);
        };
        let host = host.trim_matches(['[', ']']).to_owned();
        let tls = match url.scheme() {
            "wss" => Some((tls(&address.id)?, server_name(&host)?)),
            _ => None,
        };
        let dialer = Self { url: url.into(), host, port, headers, tls, max_body_bytes };
        dialer.request().map_err(|_| ConfigError::Url("not a URL that HTTP can ask for"))?;
        Ok(dialer)
    }

    /// Connects; the caller sets the deadline.
    pub(super) async fn dial(&self) -> Result<Box<dyn Pipe>, Break> {
        let unreachable =
            |error: std::io::Error| Break::new(FaultClass::Unreachable, chain_of(&error));
        let stream =
            TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        match &self.tls {
            None => self.shake_hands(stream).await,
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), stream).await.map_err(unreachable)?;
                self.shake_hands(stream).await
            }
        }
    }

    async fn shake_hands<S>(&self, stream: S) -> Result<Box<dyn Pipe>, Break>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let max_bytes = usize::try_from(self.max_body_bytes).unwrap_or(usize::MAX);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(max_bytes))
            .max_frame_size(Some(max_bytes));
        let request = self.request().map_err(|error| refused(&error))?;
        let outcome = client_async_with_config(request, stream, Some(config)).await;
        let (socket, _response) = outcome.map_err(|error| refused(&error))?;
        Ok(Box::new(WebPipe { socket, is_flushed: true, max_body_bytes: self.max_body_bytes }))
    }

    /// Made anew for each connection, because the key of the handshake is.
    fn request(&self) -> Result<Request, tungstenite::Error> {
        let mut request = self.url.as_str().into_client_request()?;
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        Ok(request)
    }
}

fn tls(node: &NodeId) -> Result<TlsConnector, ConfigError> {
    let no_client = |error: &dyn std::error::Error| ConfigError::Client {
        node: node.clone(),
        text: chain_of(error),
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map_err(|error| no_client(&error))?
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn server_name(host: &str) -> Result<ServerName<'static>, ConfigError> {
    ServerName::try_from(host.to_owned()).map_err(|_| ConfigError::Url("no host"))
}

/// A server that answers the handshake with a status says what it thinks of us.
fn refused(error: &tungstenite::Error) -> Break {
    let tungstenite::Error::Http(response) = error else {
        return Break::new(FaultClass::Unreachable, chain_of(error));
    };
    let status = response.status().as_u16();
    let body = words(response);
    let known = classify::known(&ErrorReply {
        http_status: Some(status),
        code: None,
        message: &body,
        data: "",
    });
    let class = match known {
        Some(FaultClass::Rate { retry_after_ms: None }) => {
            FaultClass::Rate { retry_after_ms: retry_after_ms(response.headers()) }
        }
        Some(class) => class,
        None => FaultClass::Unreachable,
    };
    let text = format!("HTTP {status} instead of a WebSocket: {body}");
    Break::new(class, text.trim_end_matches([':', ' ']))
}

/// Returns what came of the body, unless it is a page.
fn words(response: &Response) -> String {
    let body = response.body().as_deref().unwrap_or_default();
    match String::from_utf8_lossy(body).trim() {
        page if page.starts_with('<') => String::new(),
        text => text.to_owned(),
    }
}

struct WebPipe<S> {
    socket: WebSocketStream<S>,
    is_flushed: bool,
    max_body_bytes: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebPipe<S> {
    fn broken(&self, error: &tungstenite::Error) -> Break {
        match error {
            tungstenite::Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                Break::too_large(self.max_body_bytes)
            }
            other => Break::new(FaultClass::Dropped, chain_of(other)),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Pipe for WebPipe<S> {
    fn send(&mut self, message: String) -> Result<(), Break> {
        self.is_flushed = false;
        Pin::new(&mut self.socket)
            .start_send(Message::Text(message.into()))
            .map_err(|error| self.broken(&error))
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<u8>, Break>> {
        if !self.is_flushed
            && let Poll::Ready(outcome) = Pin::new(&mut self.socket).poll_flush(context)
        {
            outcome.map_err(|error| self.broken(&error))?;
            self.is_flushed = true;
        }
        loop {
            let message = match ready!(Pin::new(&mut self.socket).poll_next(context)) {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Poll::Ready(Err(self.broken(&error))),
                None => {
                    let text = "the connection was closed";
                    return Poll::Ready(Err(Break::new(FaultClass::Dropped, text)));
                }
            };
            match message {
                Message::Text(_) | Message::Binary(_) => {
                    return Poll::Ready(Ok(message.into_data().into()));
                }
                Message::Close(reason) => {
                    let text = match reason {
                        Some(frame) => format!("closed by the node: {frame}"),
                        None => "closed by the node".to_owned(),
                    };
                    return Poll::Ready(Err(Break::new(FaultClass::Dropped, text)));
                }
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::address::Schemes;
    use futures_util::StreamExt;
    use std::future::poll_fn;
    use tokio::net::TcpListener;
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{
            RootCertStore, ServerConfig,
            pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        },
    };

    fn certificate() -> CertificateDer<'static> {
        let pem = include_bytes!("../../tests/certificate/certificate.pem");
        CertificateDer::from_pem_slice(pem).unwrap()
    }

    /// Sends every message back, behind a certificate that nothing trusts.
    async fn echo() -> u16 {
        let key = include_bytes!("../../tests/certificate/key.pem");
        let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate()], PrivateKeyDer::from_pem_slice(key).unwrap());
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                let (sending, receiving) = socket.split();
                let _closed = receiving.forward(sending).await;
            }
        });
        port
    }

    fn dialer(port: u16) -> WebDialer {
        let url = format!("wss://localhost:{port}/");
        let address = Address::new(&url, &Schemes::WEB_SOCKET, None, &[]).unwrap();
        WebDialer::new(&address, 1_000).unwrap()
    }

    #[tokio::test]
    async fn a_certificate_is_checked_and_messages_pass_under_tls() {
        let mut dialer = dialer(echo().await);
        let Err(refused) = dialer.dial().await else { panic!("an unknown certificate passed") };
        assert_eq!(refused.class, FaultClass::Unreachable);
        assert!(refused.text.contains("certificate"), "{}", refused.text);

        let mut trusted = RootCertStore::empty();
        trusted.add(certificate()).unwrap();
        let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(trusted)
            .with_no_client_auth();
        let name = server_name("localhost").unwrap();
        dialer.tls = Some((TlsConnector::from(Arc::new(config)), name));
        let mut pipe = dialer.dial().await.unwrap_or_else(|why| panic!("{why:?}"));
        for message in ["{\"id\":1}", "[]"] {
            pipe.send(message.to_owned()).unwrap();
            let echoed = poll_fn(|context| pipe.poll_message(context)).await.unwrap();
            assert_eq!(echoed, message.as_bytes());
        }
    }
}
