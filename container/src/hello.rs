//! The name that a client asks for when it begins TLS (SNI). Many sites share an address, and it is by this name
//! that the other side chooses: so it has to be the one that was decided about.

use std::io;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// Bytes of a client's first words, and how long they may take.
const LONGEST: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads a client's first words. Returns all that was read of it, for the other side.
///
/// # Errors
/// Where it is no TLS, or TLS for another name than `host`. For an address no name is asked for.
pub async fn asks_for(client: &mut (impl AsyncRead + Unpin), host: &str) -> io::Result<Vec<u8>> {
    let refused = |words: &str| io::Error::new(io::ErrorKind::PermissionDenied, words);
    let reading = async {
        let mut acceptor = Acceptor::default();
        let mut read = Vec::new();
        loop {
            let mut piece = [0; 4096];
            let count = client.read(&mut piece).await?;
            let piece = piece.get(..count).unwrap_or_default();
            if piece.is_empty() || read.len() + count > LONGEST {
                return Err(refused("it does not begin as TLS does"));
            }
            read.extend_from_slice(piece);
            let mut rest = piece;
            while !rest.is_empty() {
                acceptor.read_tls(&mut rest)?;
                match acceptor.accept() {
                    Ok(None) => {}
                    Ok(Some(accepted)) => {
                        let name = accepted.client_hello().server_name().map(str::to_owned);
                        return Ok((read, name));
                    }
                    Err(_) => return Err(refused("it does not begin as TLS does")),
                }
            }
        }
    };
    let late = |_| refused("it does not begin as TLS does");
    let (read, name) = timeout(PATIENCE, reading).await.map_err(late)??;
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    let is_same = match &name {
        Some(name) => name.eq_ignore_ascii_case(host.trim_end_matches('.')),
        None => is_address,
    };
    match is_same {
        true => Ok(read),
        false => Err(refused(&format!(
            "inside TLS it asks for {} instead of {host}",
            name.as_deref().unwrap_or("nobody")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A first message of TLS 1.2, by RFC 5246 section 7.4.1.2 and RFC 6066 section 3.
    fn hello(name: Option<&str>) -> Vec<u8> {
        let sized = |bytes: &[u8]| {
            let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            [&length[..], bytes].concat()
        };
        let mut extensions = Vec::new();
        if let Some(name) = name {
            let list = sized(&[&[0][..], &sized(name.as_bytes())].concat());
            extensions.extend([&[0, 0][..], &sized(&list)].concat());
        }
        // signature_algorithms
        extensions.extend([&[0, 13][..], &sized(&sized(&[4, 3]))].concat());
        let body = [
            &[3, 3][..],
            &[7; 32],
            &[0],
            &sized(&[0xc0, 0x2b]),
            &[1, 0],
            &sized(&extensions),
        ]
        .concat();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let message = [&[1][..], &length[1..], &body].concat();
        [&[22, 3, 1][..], &sized(&message)].concat()
    }

    #[tokio::test]
    async fn the_name_is_that_which_was_decided() {
        for (asked, host, passes) in [
            (Some("allowed.example"), "allowed.example", true),
            (Some("ALLOWED.example"), "allowed.example", true),
            (Some("other.example"), "allowed.example", false),
            (None, "allowed.example", false),
            (None, "93.184.215.14", true),
            (Some("other.example"), "93.184.215.14", false),
        ] {
            let mut words = hello(asked);
            words.extend(b"more");
            let heard = asks_for(&mut &words[..], host).await;
            assert_eq!(heard.is_ok(), passes, "{asked:?} {host}: {heard:?}");
            if let Ok(heard) = heard {
                assert_eq!(heard, words);
            }
        }
    }

    #[tokio::test]
    async fn pieces_make_no_difference_and_other_words_are_refused() {
        let words = hello(Some("allowed.example"));
        let (mut client, mut gate) = tokio::io::duplex(8);
        let sent = words.clone();
        tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            client.write_all(&sent).await.unwrap();
            std::future::pending::<()>().await;
        });
        assert_eq!(asks_for(&mut gate, "allowed.example").await.unwrap(), words);
        for other in [
            &b"GET / HTTP/1.1\r\nhost: other.example\r\n\r\n"[..],
            b"SSH-2.0-x\r\n",
            b"",
            &[22, 3, 1, 0, 2, 1, 0],
        ] {
            assert!(asks_for(&mut &other[..], "allowed.example").await.is_err());
        }
    }
}
