//! Checks a request frame before any decoder sees it.
//!
//! Must never allocate by a number that came from the frame.

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;

use super::Closing;

/// A request header; the three header versions differ only in the client id and the tags.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<StrBytes>,
}

/// Reads the header; returns it with the position of the body.
pub fn header(frame: &Bytes) -> Result<(Header, usize), Closing> {
    let number =
        |at: usize| frame.get(at..at + 2).map(|b| i16::from_be_bytes([b[0], b[1]])).ok_or(Closing::Header);
    let api_key = number(0)?;
    let api_version = number(2)?;
    let id = frame.get(4..8).ok_or(Closing::Header)?;
    let correlation_id = i32::from_be_bytes([id[0], id[1], id[2], id[3]]);
    let mut at = 10;
    let client_id = match number(8)? {
        -1 => None,
        len => {
            let len = usize::try_from(len).map_err(|_| Closing::Header)?;
            if frame.len() < at + len {
                return Err(Closing::Header);
            }
            let text = StrBytes::from_utf8(frame.slice(at..at + len)).map_err(|_| Closing::Header)?;
            at += len;
            Some(text)
        }
    };
    let flexible = ApiKey::try_from(api_key).is_ok_and(|key| key.request_header_version(api_version) >= 2);
    // Tags of the header are skipped by the full guard; clients send none.
    at += usize::from(flexible);
    if at > frame.len() {
        return Err(Closing::Header);
    }
    Ok((Header { api_key, api_version, correlation_id, client_id }, at))
}
