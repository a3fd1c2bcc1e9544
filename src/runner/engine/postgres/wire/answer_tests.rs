use super::*;

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

fn all(inbox: &mut Inbox) -> Vec<Message> {
    std::iter::from_fn(|| inbox.next().unwrap()).collect()
}

#[test]
fn messages_are_the_same_however_the_bytes_are_cut() {
    let long = [b"Mlong: ".as_slice(), &vec![b'x'; 3 * TEXT_LIMIT_BYTES], b"\0\0"].concat();
    let stream = [
        frame(b'R', &0_i32.to_be_bytes()),
        frame(b'S', b"server_version\x0015.20\0"),
        frame(b'K', &[0, 0, 0, 7, 0, 0, 0, 9]),
        frame(b'N', &long),
        frame(b'Z', b"I"),
        frame(b'E', b"C42P01\0\0"),
        frame(b'C', b"COPY 3\0"),
    ]
    .concat();
    for size in [1, 2, 3, 5, 7, 1000, TEXT_LIMIT_BYTES - 1, TEXT_LIMIT_BYTES, stream.len()] {
        let mut inbox = Inbox::default();
        let mut messages = Vec::new();
        for piece in stream.chunks(size) {
            inbox.feed(piece);
            messages.extend(all(&mut inbox));
        }
        let [_, parameter, key, Message::Notice(notice), ready, Message::Error(error), tag] =
            messages.as_slice()
        else {
            panic!("{size}: {messages:?}")
        };
        assert_eq!(notice.len(), TEXT_LIMIT_BYTES, "{size}");
        assert_eq!(*parameter, Message::Parameter { name: "server_version".into(), value: "15.20".into() });
        assert_eq!(*key, Message::KeyData { process: 7, secret: 9 });
        assert_eq!(*ready, Message::Ready(Transaction::Idle));
        assert_eq!(error.as_ref(), b"C42P01\0\0");
        assert_eq!(*tag, Message::Complete(Bytes::from_static(b"COPY 3")));
    }
}

#[test]
fn a_long_notice_is_never_held_whole() {
    let mut inbox = Inbox::default();
    inbox.feed(b"N\x7f\xff\xff\xff");
    for _ in 0..1000 {
        inbox.feed(&[b'x'; 16 * 1024]);
        while inbox.next().unwrap().is_some() {}
        assert!(inbox.buffer.len() <= TEXT_LIMIT_BYTES + HEAD_BYTES);
    }
}

#[test]
fn what_no_server_of_postgresql_sends_is_refused() {
    for (bytes, says) in [
        (b"HTTP/1.1 400 Bad Request\r\n".as_slice(), "type H with"),
        (b"S\0\0\0\x03x", "length 3"),
        (b"S\xff\xff\xff\xffx", "length -1"),
        (b"Z\0\0\0\x05?", "type Z is cut"),
        (b"K\0\0\0\x08\0\0\0\0", "type K is cut"),
        (b"S\0\0\0\x08name", "type S is cut"),
        (b"R\0\0\0\x06\0\0", "type R is cut"),
        (b"C\0\0\0\x08COPY", "type C is cut"),
        (b"v\0\0\0\x0c\0\0\0\0\0\0\0\0", "type v"),
        (b"D\x7f\xff\xff\xff", "limit"),
        (b"1\x00\x02\x00\x00", "type 1 with"),
    ] {
        let mut inbox = Inbox::default();
        inbox.feed(bytes);
        let error = inbox.next().unwrap_err();
        assert!(error.to_string().contains(says), "{}: {error}", bytes.escape_ascii());
    }
}

#[test]
fn any_bytes_give_messages_or_an_error() {
    proptest::proptest!(|(bytes in proptest::collection::vec(0_u8..255, 0..300))| {
        let mut inbox = Inbox::default();
        inbox.feed(&bytes);
        while let Ok(Some(_)) = inbox.next() {}
    });
}

#[test]
fn rows_stand_at_the_end_of_a_tag() {
    for (tag, rows) in [
        ("COPY 100000", 100_000),
        ("INSERT 0 5", 5),
        ("SELECT 1", 1),
        ("CREATE TABLE", 0),
        ("", 0),
        ("COPY 99999999999999999999999", 0),
    ] {
        assert_eq!(rows_of_tag(tag.as_bytes()), rows, "{tag}");
    }
}

#[test]
fn notices_and_parameters_have_a_limit() {
    let mut session = Session::default();
    for number in 0..10_000 {
        let body = Bytes::from(format!("SNOTICE\0M{number}\0\0"));
        assert_eq!(session.take(Message::Notice(body)), None);
        let name = format!("p{number}");
        assert_eq!(session.take(Message::Parameter { name, value: String::new() }), None);
    }
    assert_eq!(session.notices.count, 10_000);
    assert_eq!(session.notices.first.len(), NOTICES_KEPT);
    assert_eq!(session.notices.first[3].message, "3");
    assert_eq!(session.parameters.len(), PARAMETERS_LIMIT);
}

#[test]
fn rows_of_a_copy_come_in_pieces_and_are_never_held_whole() {
    let rows = [b"1\ta\n".to_vec(), Vec::new(), [vec![b'x'; 300_000], b"\n".to_vec()].concat()];
    let stream: Vec<u8> = rows.iter().flat_map(|row| frame(b'd', row)).chain(frame(b'c', b"")).collect();
    for size in [1, 2, 6, 1000, stream.len()] {
        let (mut inbox, mut text, mut done) = (Inbox::default(), Vec::new(), false);
        for piece in stream.chunks(size) {
            inbox.feed(piece);
            while let Some(message) = inbox.next().unwrap() {
                match message {
                    Message::CopyData(piece) => text.extend_from_slice(&piece),
                    other => done = other == Message::CopyDone,
                }
            }
            assert!(inbox.buffer.len() < HEAD_BYTES, "{size}: what can be given is not kept");
        }
        assert!(done && text == rows.concat(), "{size}");
    }
}
