//! Tests of the datagrams: those of other programs are understood, ours are theirs byte for byte.

use super::*;
use alloc::vec;
use proptest::prelude::*;

const OWN: NodeId = NodeId([b'o'; 20]);

fn peer(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 1), port)
}

fn query_of(datagram: &[u8]) -> Query<'_> {
    match Message::decode(datagram) {
        Ok(Message::Query(query)) => query,
        other => panic!("not a query: {other:?}"),
    }
}

fn answer_of(datagram: &[u8]) -> Answer<'_> {
    match Message::decode(datagram) {
        Ok(Message::Answer(answer)) => answer,
        other => panic!("not an answer: {other:?}"),
    }
}

#[test]
fn a_lookup_of_a_plain_name_is_written_as_grenache_writes_it() {
    let datagram = OwnQuery::GetPeers(b"rest:util:net").encode(0x6162, &OWN);
    let expected = b"d1:ad2:id20:oooooooooooooooooooo9:info_hash13:rest:util:nete\
        1:q9:get_peers1:t2:ab1:y1:qe";
    assert_eq!(datagram, expected);
    let query = query_of(&datagram);
    assert_eq!(query.sender, Some(OWN));
    assert_eq!(query.transaction, Some(Value::Bytes(b"ab")));
    let name: Option<&[u8]> = Some(b"rest:util:net");
    assert_eq!(query.request, Request::GetPeers { name });
}

#[test]
fn an_announcement_has_the_port_of_its_datagram_only_if_it_says_so() {
    let with = |port: &str| {
        let text =
            alloc::format!("d1:ad{port}9:info_hash1:x5:token2:abe1:q13:announce_peer1:y1:qe");
        match query_of(text.as_bytes()).request {
            Request::Announce(announcement) => Some(announcement.port),
            Request::Nothing => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(with("4:porti7e"), Some(AnnouncedPort::Given(7)));
    let implied = with("12:implied_porti1e4:porti0e");
    assert_eq!(implied, Some(AnnouncedPort::Implied));
    for bad in ["", "4:porti0e", "4:porti-1e", "4:porti65536e", "4:port1:7"] {
        assert_eq!(with(bad), None, "{bad}");
    }
}

#[test]
fn datagrams_that_crash_other_programs_are_harmless() {
    let cases: [&[u8]; 6] = [
        b"d1:ad6:targeti1ee1:q9:find_node1:y1:qe",
        b"d1:ad9:info_hashdee1:q9:get_peers1:y1:qe",
        b"d1:ad6:targetdee1:q3:get1:y1:qe",
        b"d1:ad9:info_hash1:x4:porti1e5:tokeni1ee1:q13:announce_peer1:y1:qe",
        b"d1:ad2:id20:oooooooooooooooooooo3:sig1:s5:token1:t1:v1:ve1:q3:put1:y1:qe",
        b"d1:ad2:id20:oooooooooooooooooooo1:k1:k5:token1:t1:v1:ve1:q3:put1:y1:qe",
    ];
    for datagram in cases {
        let request = query_of(datagram).request;
        assert_eq!(request, Request::Nothing, "{}", datagram.escape_ascii());
    }
    assert_eq!(Message::decode(b"d1:y1:qe"), Err(KrpcError::Method));
    assert_eq!(Message::decode(b"i1e"), Err(KrpcError::Kind));
}

#[test]
fn a_reply_brings_nodes_and_peers_but_none_with_port_0() {
    let own = OwnReply {
        token: Some(b"token"),
        contacts: Some(vec![Contact {
            id: NodeId([b'c'; 20]),
            address: peer(7),
        }]),
        peers: Some(vec![peer(0), peer(9)]),
        ..OwnReply::default()
    };
    let datagram = own.encode(Some(&Value::Bytes(b"longer")), &OWN);
    let answer = answer_of(&datagram);
    assert_eq!(answer.transaction, u16::from_be_bytes(*b"lo"));
    let AnswerBody::Reply(reply) = answer.body else {
        panic!("a refusal");
    };
    assert_eq!(reply.sender, Some(OWN));
    assert_eq!(reply.token, Some(&b"token"[..]));
    assert_eq!(Some(reply.contacts), own.contacts);
    assert_eq!(reply.peers, [peer(9)]);
}

#[test]
fn a_list_of_peers_counts_up_to_the_first_that_is_none() {
    let datagram = b"d1:rd6:valuesl6:\x7f\0\0\x01\0\x09i1e6:\x7f\0\0\x01\0\x08ee1:t2:ab1:y1:re";
    let AnswerBody::Reply(reply) = answer_of(datagram).body else {
        panic!("a refusal");
    };
    assert_eq!(reply.peers, [peer(9)]);
}

#[test]
fn a_refusal_is_written_and_read() {
    let datagram = encode_refusal(302, "no", Some(&Value::Bytes(b"ab")));
    assert_eq!(datagram, b"d1:eli302e2:noe1:t2:ab1:y1:ee");
    let body = answer_of(&datagram).body;
    let text = b"no".to_vec();
    assert_eq!(body, AnswerBody::Refusal(Refusal { code: 302, text }));
}

#[test]
fn a_changeable_value_is_written_with_ascending_keys() {
    let mutable = MutableItem {
        key: b"key",
        signature: b"sig",
        sequence: 4,
        salt: Some(b"salt"),
        compare: Some(3),
    };
    let put = OwnQuery::Put {
        token: b"t",
        value: b"5:value",
        mutable: Some(mutable),
    };
    let datagram = put.encode(1, &OWN);
    let strict = decode(&datagram).expect("bencode").encode();
    assert_eq!(datagram, strict, "keys ascend");
    let Request::Put(item) = query_of(&datagram).request else {
        panic!("not a put");
    };
    assert_eq!(item.mutable, Some(mutable));
    assert_eq!(item.value, Value::Bytes(b"value"));
    let signed = signed_bytes(mutable.salt, 4, b"5:value");
    assert_eq!(signed, b"4:salt4:salt3:seqi4e1:v5:value");
}

proptest! {
    #[test]
    fn any_datagram_is_understood_or_refused(
        head in "(d1:[arqe](d|l)?)?",
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        // What matters is that it returns.
        let datagram = [head.into_bytes(), bytes].concat();
        drop(Message::decode(&datagram));
    }

    #[test]
    fn fields_of_any_kind_are_understood_or_refused(
        method in "(ping|find_node|get_peers|announce_peer|get|put)",
        keys in prop::collection::vec(
            ("(id|target|info_hash|token|port|v|k|sig|seq|salt|cas|implied_port)",
             "(i-?[0-9]{1,5}e|0:|1:x|20:aaaaaaaaaaaaaaaaaaaa|le|de|li1ee|d1:ai1ee)"), 0..8),
    ) {
        let mut text = alloc::string::String::from("d1:ad");
        for (key, value) in &keys {
            text += &alloc::format!("{}:{key}{value}", key.len());
        }
        text += &alloc::format!("e1:q{}:{method}1:t2:ab1:y1:qe", method.len());
        prop_assert!(matches!(Message::decode(text.as_bytes()), Ok(Message::Query(_))));
    }
}
