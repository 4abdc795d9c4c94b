//! The crafted uploads: each is an ordinary upload with one thing changed.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use memchr::memmem;
use zip::write::SimpleFileOptions;

use crate::support::devpi;
use crate::support::package::{Package, metadata, tar_of, zip_of};
use crate::support::raw::{Form, Raw, basic};

/// One upload, byte for byte.
#[derive(Clone)]
pub struct Crafted {
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub framing: Framing,
}

#[derive(Clone, Copy)]
pub enum Framing {
    /// `Content-Length`, and all of it.
    Length,
    /// `Content-Length` promises more than comes, and then comes this end.
    Short(End),
    /// Chunks of this size.
    Chunks(usize),
    /// Chunks, but no last one, and then this end.
    Unended(End),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    Whole,
    Fin,
    Reset,
}

impl Crafted {
    pub fn new(content_type: impl AsRef<[u8]>, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.as_ref().to_vec())];
        Self { headers, body: body.into(), framing: Framing::Length }
    }

    pub fn form(form: &Form) -> Self {
        Self::new(form.content_type(), form.bytes())
    }

    pub fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn untyped(mut self) -> Self {
        self.headers.clear();
        self
    }

    /// The body with the first `from` replaced by `to`.
    #[track_caller]
    pub fn edit(mut self, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Self {
        let from = from.as_ref();
        let at = memmem::find(&self.body, from);
        let at = at.unwrap_or_else(|| panic!("the body has no {}", String::from_utf8_lossy(from)));
        self.body.splice(at..at + from.len(), to.as_ref().iter().copied());
        self
    }

    pub fn framed(&self, request: Raw) -> (Vec<u8>, End) {
        match self.framing {
            Framing::Length => (request.body(self.body.as_slice()).bytes(), End::Whole),
            Framing::Short(end) => {
                let head = request.header("Content-Length", (self.body.len() + 200).to_string()).bytes();
                ([head, self.body.clone()].concat(), end)
            }
            Framing::Chunks(size) => (request.chunked(&self.body, size).bytes(), End::Whole),
            Framing::Unended(end) => {
                let mut bytes = request.chunked(&self.body, 1000).bytes();
                bytes.truncate(bytes.len() - b"0\r\n\r\n".len());
                (bytes, end)
            }
        }
    }
}

pub const B: &str = "XBX";
const DISPOSITION: &str = "Content-Disposition: form-data";

/// An ordinary upload of `package`, between boundaries that the tables below can write.
pub fn up(package: &Package) -> Form {
    Form { boundary: B.to_owned(), ..Form::twine(package) }
}

pub fn own() -> Package {
    Package::sdist("own", "1.0")
}

fn file(name: &str, bytes: &[u8]) -> Package {
    Package { file_name: name.to_owned(), bytes: bytes.to_vec(), ..own() }
}

/// A number of the catalogue or a few words, and the upload.
type Table = Vec<(&'static str, Crafted)>;

/// All that must be refused.
pub fn refused() -> Table {
    let own = own();
    [framing(&own), part_headers(&own), identity(&own), file_names(&own), archives(), transfer(&own)].concat()
}

/// C1: how the body is cut into parts.
fn framing(own: &Package) -> Table {
    let (form, whole) = (up(own), Crafted::form(&up(own)));
    let evil = Form { boundary: B.to_owned(), ..up(&Package::sdist("victim", "6.6")) };
    let name = "name=\"name\"\r\n\r\nown";
    let hidden = |eol: &str| format!("own{eol}--{B}{eol}{DISPOSITION}; name=\"name\"{eol}{eol}victim");
    let named = |value: &str| format!("name=\"name\"\r\n\r\n{value}");
    let victim = format!("{DISPOSITION}; name=\"name\"\r\n\r\nvictim\r\n");
    let body = form.bytes();
    let before = |text: &str| Crafted::new(form.content_type(), [text.as_bytes(), &body].concat());
    let after = |bytes: &[u8]| Crafted::new(form.content_type(), [&body, bytes].concat());
    let typed = |content_type: &str| Crafted::new(content_type, body.as_slice());
    let lf = {
        let parts = form.parts.iter().map(|part| {
            let at = memmem::find(part, b"\r\n\r\n").unwrap();
            let head = String::from_utf8_lossy(&part[..at]).replace("\r\n", "\n");
            [format!("--{B}\n{head}\n\n").as_bytes(), &part[at + 4..], b"\n"].concat()
        });
        [parts.collect::<Vec<_>>().concat(), format!("--{B}--\n").into_bytes()].concat()
    };
    let mut table: Table = vec![
        ("C-007 name twice", Crafted::form(&form.clone().field("name", "victim"))),
        ("C-007 name twice, reversed", whole.clone().edit(name, format!("name=\"name\"\r\n\r\nvictim\r\n--{B}\r\n{DISPOSITION}; {name}"))),
        ("C-007 the same name twice", Crafted::form(&form.clone().field("name", "own"))),
        ("C-007 version twice", Crafted::form(&form.clone().field("version", "6.6"))),
        ("C-008 name after the file", Crafted::form(&form.clone().field("name", "victim"))),
        ("C-009 LF delimiter in the name", whole.clone().edit(name, named(&hidden("\n")))),
        ("C-009 LF delimiter in the version", whole.clone().edit("name=\"version\"\r\n\r\n1.0", format!("name=\"version\"\r\n\r\n1.0\n--{B}\n{DISPOSITION}; name=\"name\"\n\nvictim"))),
        ("C-010 LF everywhere", Crafted::new(form.content_type(), lf)),
        ("C-011 CR delimiter in the name", whole.clone().edit(name, named(&hidden("\r")))),
        ("C-012 a form after the form", after(&evil.bytes())),
        ("C-012 a part after the form", after(format!("--{B}\r\n{victim}--{B}--\r\n").as_bytes())),
        ("C-012 a byte after the form", after(b"x")),
        ("C-013 words before the form", before("junk\r\n")),
        ("C-013 a part before the form", before(&format!("--{B}2\r\n{victim}"))),
        ("C-013 a megabyte before the form", before(&"x".repeat(1 << 20))),
        ("C-014 no closing delimiter", Crafted::new(form.content_type(), body.strip_suffix(format!("\r\n--{B}--\r\n").as_bytes()).unwrap())),
        ("C-014 no last dash", Crafted::new(form.content_type(), body.strip_suffix(b"-\r\n").unwrap())),
        ("C-015 blanks after a delimiter", whole.clone().edit(format!("\r\n--{B}\r\n"), format!("\r\n--{B} \t\r\n{victim}--{B}\r\n"))),
        ("C-015 blanks after the first delimiter", whole.clone().edit(format!("--{B}\r\n"), format!("--{B} \r\n"))),
        ("C-016 a longer delimiter", whole.clone().edit(format!("\r\n--{B}\r\n"), format!("\r\n--{B}Y\r\n{victim}--{B}\r\n"))),
        ("C-017 a tail on the closing delimiter", whole.clone().edit(format!("\r\n--{B}\r\n"), format!("\r\n--{B}--junk\r\n{victim}--{B}\r\n"))),
        ("C-017 closed in the middle", whole.clone().edit(format!("\r\n--{B}\r\n"), format!("\r\n--{B}--\r\n--{B}\r\n"))),
        ("C-018 two boundaries", Crafted::new("multipart/form-data; boundary=XBX; boundary=YBY", [body.clone(), Form { boundary: "YBY".to_owned(), ..evil.clone() }.bytes()].concat())),
        ("C-018 two boundaries, reversed", Crafted::new("multipart/form-data; boundary=YBY; boundary=XBX", body.as_slice())),
        ("C-020 not an upload's type", typed("multipart/mixed; boundary=XBX")),
        ("C-020 not an upload's type", typed("multipart/related; boundary=XBX")),
        ("C-020 two types", typed("multipart/form-data, text/plain; boundary=XBX")),
        ("C-020 text", typed("text/plain; boundary=XBX")),
        ("C-020 a blank before the semicolon", typed("multipart/form-data ; boundary=XBX")),
        ("C-039 a charset", typed("Multipart/Form-Data; boundary=XBX; charset=utf-16-le")),
        ("C-039 a charset first", typed("multipart/form-data; charset=utf-16; boundary=XBX")),
        ("C-039 a charset field in UTF-16", whole.clone().edit(name, format!("name=\"_charset_\"\r\n\r\nutf-16le\r\n--{B}\r\n{DISPOSITION}; name=\"name\"\r\n\r\no\0w\0n\0"))),
        ("C-021 no type, remove", Crafted::new("", ":action=remove_pkg&name=victim&version=1.0").untyped()),
        ("C-021 no type, submit", Crafted::new("", ":action=submit&name=victim&version=9").untyped()),
        ("C-021 no type, a form", typed("").untyped()),
        ("C-021 an empty type", typed("")),
        ("C-022 urlencoded, remove", Crafted::new("application/x-www-form-urlencoded", ":action=remove_pkg&name=victim&version=1.0")),
        ("C-022 urlencoded, upload", Crafted::new("application/x-www-form-urlencoded", ":action=file_upload&name=own&version=1.0&content=x")),
        ("C-022 JSON", Crafted::new("application/json", r#"{"name":"victim","version":"1.0","targetindex":"alice/prod-1"}"#)),
        ("C-022 JSON that says it is a form", Crafted::new("multipart/form-data", r#"{"name":"victim","version":"1.0","targetindex":"alice/prod-1"}"#)),
        ("C-022 JSON between boundaries", Crafted::new(form.content_type(), r#"{"name":"victim","version":"1.0","targetindex":"alice/prod-1"}"#)),
        ("C-022 JSON as text", Crafted::new("text/plain", r#"{"name":"victim","version":"1.0","posturl":"http://127.0.0.1:1/"}"#)),
        ("C-023 a form in a form", Crafted::form(&form.clone().part(&format!("{DISPOSITION}; name=\"x\"\r\nContent-Type: multipart/mixed; boundary=IN"), format!("--IN\r\n{victim}--IN--\r\n")))),
        ("C-023 a form in the file", whole.clone().edit("application/octet-stream", "multipart/mixed; boundary=IN")),
        ("C-024 too many parts", Crafted::form(&(0..1001).fold(form.clone(), |form, n| form.field(&format!("x{n}"), "")))),
        ("C-024 too many headers", Crafted::form(&form.clone().part(&format!("{DISPOSITION}; name=\"x\"{}", "\r\nX-Y: z".repeat(40)), ""))),
        ("C-024 a huge header", Crafted::form(&form.clone().part(&format!("{DISPOSITION}; name=\"{}\"", "x".repeat(100_000)), ""))),
        ("C-024 fields larger than a README", Crafted::form(&form.clone().field("description", vec![b'x'; 5 << 20]))),
        ("an empty body", Crafted::new(form.content_type(), "")),
        ("an empty form", Crafted::new(form.content_type(), format!("--{B}--\r\n"))),
        ("another boundary", typed("multipart/form-data; boundary=XBXX")),
        ("a part of the boundary", typed("multipart/form-data; boundary=XB")),
    ];
    for boundary in
        ["", "\"\"", "\"XBX ", "\"XBX \"", "'XBX'", "\"X\\BX\"", "X BX", "XB\u{e9}X", "X;BX", "X\"BX"]
    {
        table.push((
            "C-019 a boundary that parsers read differently",
            typed(&format!("multipart/form-data; boundary={boundary}")),
        ));
    }
    for length in [71, 201] {
        let long = Form { boundary: "x".repeat(length), ..form.clone() };
        table.push(("C-019 a boundary that is too long", Crafted::form(&long)));
    }
    table
}

/// C2: what the header lines of a part say.
fn part_headers(own: &Package) -> Table {
    let form = up(own);
    let victim = |headers: &str| Crafted::form(&form.clone().part(headers, "victim"));
    let named = |headers: &str, value: &str| {
        let mut form = form.clone();
        let at = form.parts.iter().position(|part| memmem::find(part, b"name=\"name\"").is_some()).unwrap();
        form.parts[at] = format!("{headers}\r\n\r\n{value}").into_bytes();
        Crafted::form(&form)
    };
    let content = |parameters: &str| {
        let plain = format!("name=\"content\"; filename=\"{}\"", own.file_name);
        Crafted::form(&form).edit(plain, parameters)
    };
    let mut table: Table = Vec::new();
    for (id, parameters) in [
        ("C-027 capitals", "; NAME=\"name\""),
        ("C-027 capitals", "; Name=\"name\""),
        ("C-028 a parameter twice", "; name=\"x\"; name=\"name\""),
        ("C-028 a parameter twice", "; name=\"name\"; name=\"x\""),
        ("C-029 an extended parameter", "; name*=UTF-8''name"),
        ("C-029 a continued parameter", "; name*0=\"na\"; name*1=\"me\""),
        ("C-031 a tail after the quote", "; name=\"name\"x"),
        ("C-032 unquoted", "; name=name"),
        ("C-032 single quotes", "; name='name'"),
        ("C-033 a backslash", "; name=\"na\\me\""),
        ("C-033 a backslash at the end", "; name=\"name\\\""),
        ("C-034 a folded line", ";\r\n name=\"name\""),
        ("C-034 a folded line", ";\r\n\tname=\"name\""),
        ("C-036 no semicolon", " name=\"name\""),
        ("C-040 NUL", "; name=\"na\0me\""),
        ("C-040 VT", "; name=\"name\"\x0b"),
        ("C-040 FF", "; name=\"name\"\x0c"),
        ("C-040 CR", "; name=\"x\"\rContent-Disposition: form-data; name=\"name\""),
        ("C-040 LF", "; name=\"x\"\nContent-Disposition: form-data; name=\"name\""),
        ("C-040 DEL", "; name=\"na\x7fme\""),
        ("C-040 beyond ASCII", "; name=\"na\u{e9}me\""),
        ("blanks around the equals sign", "; name = \"name\""),
        ("an empty parameter", ";; name=\"name\""),
        ("a trailing semicolon", "; name=\"name\";"),
        ("no name", ""),
    ] {
        table.push((id, victim(&format!("{DISPOSITION}{parameters}"))));
        table.push((id, named(&format!("{DISPOSITION}{parameters}"), "victim")));
    }
    for (id, headers) in [
        ("C-035 two dispositions", format!("{DISPOSITION}; name=\"x\"\r\n{DISPOSITION}; name=\"name\"")),
        ("C-035 two dispositions", format!("{DISPOSITION}; name=\"name\"\r\n{DISPOSITION}; name=\"x\"")),
        ("C-036 attachment", "Content-Disposition: attachment; name=\"name\"".to_owned()),
        ("C-036 no disposition type", "Content-Disposition: name=\"name\"".to_owned()),
        ("C-036 no disposition", "Content-Type: text/plain".to_owned()),
        ("C-041 a blank before the colon", "Content-Disposition : form-data; name=\"name\"".to_owned()),
        ("C-041 a leading blank", format!(" {DISPOSITION}; name=\"name\"")),
        ("C-040 a NUL in a header", format!("X\0: y\r\n{DISPOSITION}; name=\"name\"")),
        ("an unknown header", format!("{DISPOSITION}; name=\"x\"\r\nX-Y: z")),
        ("a length in a part", format!("{DISPOSITION}; name=\"x\"\r\nContent-Length: 3")),
        ("no colon", format!("{DISPOSITION}; name=\"x\"\r\nnonsense")),
        ("no header at all", String::new()),
    ] {
        table.push((id, victim(&headers)));
    }
    for (id, header, value) in [
        ("C-037 base64", "Content-Transfer-Encoding: base64", "dmljdGlt"),
        ("C-037 base64", "content-transfer-encoding:BASE64", "dmljdGlt"),
        ("C-037 quoted-printable", "Content-Transfer-Encoding: quoted-printable", "=76ictim"),
        ("C-037 unknown", "Content-Transfer-Encoding: x-uuencode", "own"),
        ("C-038 utf-7", "Content-Type: text/plain; charset=utf-7", "+AHY-ictim"),
        ("C-038 utf-16", "Content-Type: text/plain; charset=utf-16le", "v\0i\0c\0t\0i\0m\0"),
        ("C-038 punycode", "Content-Type: text/plain; charset=punycode", "victim-"),
        ("C-038 unicode_escape", "Content-Type: text/plain; charset=unicode_escape", "\\x76ictim"),
        ("C-042 the name is a file", "X: y", "victim"),
    ] {
        table.push((id, named(&format!("{DISPOSITION}; name=\"name\"\r\n{header}"), value)));
    }
    for (id, parameters) in [
        (
            "C-030 filename*",
            "name=\"content\"; filename=\"own-1.0.tar.gz\"; filename*=UTF-8''victim-6.6.tar.gz",
        ),
        (
            "C-030 filename* first",
            "name=\"content\"; filename*=UTF-8''victim-6.6.tar.gz; filename=\"own-1.0.tar.gz\"",
        ),
        ("C-030 filename* alone", "name=\"content\"; filename*=UTF-8''own-1.0.tar.gz"),
        (
            "C-028 filename twice",
            "name=\"content\"; filename=\"own-1.0.tar.gz\"; filename=\"victim-6.6.tar.gz\"",
        ),
        (
            "C-028 filename twice",
            "name=\"content\"; filename=\"victim-6.6.tar.gz\"; filename=\"own-1.0.tar.gz\"",
        ),
        ("C-027 FILENAME", "name=\"content\"; filename=\"own-1.0.tar.gz\"; FILENAME=\"victim-6.6.tar.gz\""),
        ("C-031 a tail", "name=\"content\"; filename=\"own-1.0.tar.gz\".exe"),
        ("C-033 backslashes", "name=\"content\"; filename=\"a\\\"; filename=\\\"victim-6.6.tar.gz\""),
        ("C-034 folded", "name=\"content\";\r\n filename=\"own-1.0.tar.gz\""),
        ("C-036 other parameters", "name=\"content\"; filename=\"own-1.0.tar.gz\"; size=1"),
        ("the file is no file", "name=\"content\""),
        ("reversed", "filename=\"own-1.0.tar.gz\"; name=\"content\"; name=\"content\""),
    ] {
        table.push((id, content(parameters)));
    }
    table.push((
        "C-037 a coded file",
        Crafted::form(&form).edit(
            "application/octet-stream",
            "application/octet-stream\r\nContent-Transfer-Encoding: base64",
        ),
    ));
    table
}

/// C3: what is uploaded, and what is done with it.
fn identity(own: &Package) -> Table {
    let form = up(own);
    let evil = Package::sdist("victim", "6.6");
    let replaced = |name: &str, value: &str| Crafted::form(&form.clone().replace(name, value));
    let extra = |name: &str, value: &str| Crafted::form(&form.clone().field(name, value));
    let as_file = |name: &str| format!("{DISPOSITION}; name=\"{name}\"; filename=\"x\"");
    let mut table: Table = vec![
        (
            "C-042 the name as a file",
            Crafted::form(&form.clone().without("name").part(&as_file("name"), "victim")),
        ),
        ("C-042 the name as a file, too", Crafted::form(&form.clone().part(&as_file("name"), "victim"))),
        (
            "C-042 the action as a file",
            Crafted::form(&form.clone().without(":action").part(&as_file(":action"), "file_upload")),
        ),
        ("C-045 two actions", extra(":action", "remove_pkg")),
        (
            "C-045 two actions, reversed",
            Crafted::form(&{
                let mut form = form.clone();
                form.parts
                    .insert(0, format!("{DISPOSITION}; name=\":action\"\r\n\r\nremove_pkg").into_bytes());
                form
            }),
        ),
        ("C-045 the same action twice", extra(":action", "file_upload")),
        ("C-046 another protocol", replaced("protocol_version", "2")),
        ("C-046 two protocols", extra("protocol_version", "1")),
        ("another project, all agreeing", Crafted::form(&up(&evil))),
        ("another project in the form", replaced("name", "victim")),
        (
            "C-049 another project's file name",
            Crafted::form(&up(&Package { file_name: evil.file_name.clone(), ..own.clone() })),
        ),
        (
            "C-049 another project's file",
            Crafted::form(&up(&Package {
                project: "own".to_owned(),
                version: "1.0".to_owned(),
                ..evil.clone()
            })),
        ),
        ("C-052 a version twice", extra("version", "1.0")),
        ("C-054 two files", Crafted::form(&form.clone().file(&evil.file_name, &evil.bytes))),
        (
            "C-054 two files, reversed",
            Crafted::form(&{
                let mut form = form.clone();
                let other = Form::empty().file(&evil.file_name, &evil.bytes).parts.remove(0);
                form.parts.insert(0, other);
                form
            }),
        ),
        ("C-054 the same file twice", Crafted::form(&form.clone().file(&own.file_name, &own.bytes))),
        (
            "C-053 a signature of another file",
            Crafted::form(&form.clone().part(
                &format!("{DISPOSITION}; name=\"gpg_signature\"; filename=\"victim-6.6.tar.gz.asc\""),
                "x",
            )),
        ),
        (
            "C-053 a signature that is a package",
            Crafted::form(&form.clone().part(
                &format!("{DISPOSITION}; name=\"gpg_signature\"; filename=\"victim-6.6.tar.gz\""),
                &evil.bytes,
            )),
        ),
        (
            "C-053 two signatures",
            Crafted::form(&(0..2).fold(form.clone(), |form, _| {
                form.part(
                    &format!("{DISPOSITION}; name=\"gpg_signature\"; filename=\"own-1.0.tar.gz.asc\""),
                    "x",
                )
            })),
        ),
        ("C-055 sha256 of another file", replaced("sha256_digest", &evil.sha256())),
        ("C-055 no sha256", replaced("sha256_digest", "x")),
        ("C-055 sha256 twice", extra("sha256_digest", &own.sha256())),
        ("C-055 sha256 is right, blake2 is none", replaced("blake2_256_digest", "zz")),
        (
            "C-055 only a wrong md5",
            Crafted::form(
                &form
                    .clone()
                    .without("sha256_digest")
                    .without("blake2_256_digest")
                    .field("md5_digest", "0".repeat(32)),
            ),
        ),
        ("a file type that is none of it", replaced("filetype", "bdist_wheel")),
        (
            "another file in a field that is none",
            Crafted::form(&form.clone().part(&as_file("zzz"), &evil.bytes)),
        ),
    ];
    for missing in ["name", "version", ":action", "content"] {
        let mut form = form.clone();
        let wanted = format!("name=\"{missing}\"").into_bytes();
        form.parts.retain(|part| memmem::find(part, &wanted).is_none());
        table.push(("C-043 a field is missing", Crafted::form(&form)));
    }
    for action in [
        "submit",
        "doc_upload",
        "remove_pkg",
        "verify",
        "docs",
        "user",
        "password_reset",
        "FILE_UPLOAD",
        " file_upload",
        "file_upload ",
        "file_upload\n",
        "file_upload\0",
        "",
    ] {
        table.push(("C-044 another action", replaced(":action", action)));
        table.push((
            "C-044 another action on the other project",
            Crafted::form(&up(&evil).replace(":action", action)),
        ));
    }
    for name in [
        "-own",
        "own-",
        "own\n",
        "own\r\n",
        " own",
        "own ",
        "own\0",
        "own\tx",
        "own/pkg",
        "own~pkg",
        "own\u{200b}",
        "\u{ff4f}wn",
        "\u{17f}own",
        "o\u{212a}wn",
        "\u{fb01}le",
        "",
        ".",
        "own--",
        "victim",
        "VICTIM",
        "own victim",
        "own,victim",
        "own;victim",
        "own%00",
        "../victim",
        "own\\",
        "own+x",
        "own!",
    ] {
        table.push(("C-048 a name that is none of ours", replaced("name", name)));
    }
    table.push(("C-048 a long name", replaced("name", &"own".repeat(3400))));
    for version in [
        "2.0",
        "v2",
        "1.0+local",
        "1!1.0",
        "",
        "1.0\n2",
        "x",
        "1.0 ",
        "latest",
        "1.0,2.0",
        "1.0.post1",
        "1.0-1",
        "../1",
    ] {
        table.push(("C-052 another version", replaced("version", version)));
    }
    table
}

/// C4: what the file is called.
fn file_names(own: &Package) -> Table {
    let called = |name: &str| Crafted::form(&up(&Package { file_name: name.to_owned(), ..own.clone() }));
    let names = [
        (
            "C-050 a neighbour",
            &[
                "own-other-1.0.tar.gz",
                "ownx-1.0.tar.gz",
                "own_other-1.0-py3-none-any.whl",
                "owner-1.0.tar.gz",
                "own.other-1.0.tar.gz",
            ][..],
        ),
        (
            "C-051 more parts",
            &[
                "own-bar-1.0-py3-none-any.whl",
                "own-1.0-x-py3-none-any.whl",
                "own-1.0-1-2-py3-none-any.whl",
                "own-1.0.whl",
            ],
        ),
        (
            "two readings",
            &[
                "own-1.0-1.tar.gz",
                "own-9.0-1.0.tar.gz",
                "own-1-1.0.tar.gz",
                "own-1.0-2.0.tar.gz",
                "own-v1.0.tar.gz",
            ],
        ),
        (
            "C-052 another version",
            &[
                "own-2.0.tar.gz",
                "own-1.0.1.tar.gz",
                "own-1.0rc1.tar.gz",
                "own-1.0.post1.tar.gz",
                "own-1.0+x.tar.gz",
                "own-1!1.0.tar.gz",
            ],
        ),
        (
            "C-057 a path",
            &[
                "../own-1.0.tar.gz",
                "..\\own-1.0.tar.gz",
                "/etc/own-1.0.tar.gz",
                "C:\\x\\own-1.0.tar.gz",
                "%2e%2e%2fown-1.0.tar.gz",
                ".own-1.0.tar.gz",
                "own-1.0.tar.gz/",
                "own-1.0\\victim-6.6.tar.gz",
                "own-1.0%2Fvictim-6.6.tar.gz",
                "own-1.0/victim-6.6.tar.gz",
            ],
        ),
        (
            "C-058 control characters",
            &[
                "own-1.0\0.tar.gz",
                "own-1.0.tar.gz\n",
                "own-1.0.tar.gz\r",
                "own-1.0.tar.gz\x7f",
                "own-1.0.tar.gz\u{202e}",
                "own-1.0.tar.gz\u{85}",
                "own-1.0.tar.gz%0d%0a",
                "own-1.0.tar.gz ",
            ],
        ),
        (
            "C-059 no package",
            &[
                "own-1.0.exe",
                "own-1.0.egg",
                "own-1.0.tgz",
                "own-1.0.tar.bz2",
                "own-1.0.tar.xz",
                "own-1.0.rpm",
                "own-1.0.deb",
                "own-1.0.html",
                "own-1.0",
                "own-1.0.whl.zip",
                "own-1.0.tar.gz.",
                "own-1.0.zip",
                "simple.zip",
                "own-1.0.tar.gz.asc",
                "own-1.0.TAR.GZ",
                "own-1.0.tar",
            ],
        ),
        (
            "none",
            &[
                "",
                ".tar.gz",
                "-1.0.tar.gz",
                "own-.tar.gz",
                "own.tar.gz",
                "\u{17f}own-1.0.tar.gz",
                "own-1.0.tar.gz;victim-6.6.tar.gz",
            ],
        ),
    ];
    let mut table: Table =
        names.iter().flat_map(|(id, names)| names.iter().map(|name| (*id, called(name)))).collect();
    for length in [201, 256, 5000] {
        table.push(("C-060 a long name", called(&format!("own-1.0{}.tar.gz", "0".repeat(length - 14)))));
    }
    table
}

/// C5: what the archive says.
fn archives() -> Table {
    let form = |package: &Package| Crafted::form(&up(package));
    let files = |entries: &[(&str, &str)]| -> Vec<(String, Vec<u8>)> {
        entries.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
    };
    let (ours, theirs) = (metadata("own", "1.0"), metadata("victim", "6.6"));
    let wheel = |entries: &[(&str, &str)]| file("own-1.0-py3-none-any.whl", &zip_of(&files(entries)));
    let sdist = |entries: &[(&str, &str)]| file("own-1.0.tar.gz", &tar_of(&files(entries)));
    let valid = Package::wheel("own", "1.0");
    let patched = |from: &[u8], to: &[u8]| {
        let mut bytes = valid.bytes.clone();
        let at = memmem::find(&bytes, from).unwrap();
        bytes.splice(at..at + from.len(), to.iter().copied());
        file(&valid.file_name, &bytes)
    };
    let around =
        |before: &[u8], after: &[u8]| file(&valid.file_name, &[before, &valid.bytes, after].concat());
    let packages = [
        (
            "C-061 METADATA of another project",
            Package {
                project: "own".to_owned(),
                version: "1.0".to_owned(),
                ..Package::wheel_with("own", "1.0", &theirs, b"")
            },
        ),
        ("C-061 PKG-INFO of another project", Package { ..Package::sdist_with("own", "1.0", &theirs, b"") }),
        (
            "C-061 PKG-INFO of another version",
            Package::sdist_with("own", "1.0", &metadata("own", "2.0"), b""),
        ),
        (
            "C-061 two names",
            Package::sdist_with("own", "1.0", &ours.replace("Name: own", "Name: own\nName: victim"), b""),
        ),
        (
            "C-061 two names in capitals",
            Package::wheel_with("own", "1.0", &ours.replace("Name: own", "Name: own\nNAME: victim"), b""),
        ),
        (
            "C-061 a folded name",
            Package::wheel_with("own", "1.0", &ours.replace("Name: own", "Name: own\n victim"), b""),
        ),
        ("C-061 no name", Package::wheel_with("own", "1.0", &ours.replace("Name: own\n", ""), b"")),
        ("C-061 no METADATA", wheel(&[("own/__init__.py", "")])),
        ("C-061 no PKG-INFO", sdist(&[("own-1.0/setup.py", "")])),
        ("C-061 a second PKG-INFO", sdist(&[("own-1.0/PKG-INFO", &ours), ("own-1.0/PKG-INFO", &theirs)])),
        ("C-061 PKG-INFO elsewhere", sdist(&[("victim-6.6/PKG-INFO", &theirs)])),
        (
            "C-061 PKG-INFO elsewhere first",
            sdist(&[("victim-6.6/PKG-INFO", &theirs), ("own-1.0/PKG-INFO", &ours)]),
        ),
        ("C-062 dist-info of another project", wheel(&[("victim-6.6.dist-info/METADATA", &theirs)])),
        (
            "C-062 two dist-infos",
            wheel(&[("own-1.0.dist-info/METADATA", &ours), ("victim-6.6.dist-info/METADATA", &theirs)]),
        ),
        (
            "C-062 dist-info in capitals",
            wheel(&[("own-1.0.dist-info/METADATA", &ours), ("OWN-1.0.dist-info/METADATA", &theirs)]),
        ),
        ("C-063 bytes before", around(b"PK\x03\x04junk", b"")),
        ("C-063 bytes after", around(b"", b"junk")),
        ("C-063 a second end", around(b"", &valid.bytes[valid.bytes.len() - 22..])),
        ("C-063 another wheel after", around(b"", &Package::wheel("victim", "6.6").bytes)),
        ("C-063 another wheel before", around(&Package::wheel("victim", "6.6").bytes, b"")),
        (
            "C-063 local and central names differ",
            patched(b"own-1.0.dist-info/METADATA", b"vic-1.0.dist-info/METADATA"),
        ),
        ("C-063 a name with NUL", patched(b"own-1.0.dist-info/METADATA", b"own-1.0.dist-info/METADAT\0")),
        ("C-064 a tar that is called a wheel", Package { bytes: own().bytes, ..valid.clone() }),
        ("C-064 a zip that is called an sdist", file("own-1.0.tar.gz", &valid.bytes)),
        ("C-064 a zip behind a tar", file("own-1.0.tar.gz", &[own().bytes, valid.bytes.clone()].concat())),
        (
            "C-064 another tar behind the tar",
            file("own-1.0.tar.gz", &[own().bytes, Package::sdist("victim", "6.6").bytes].concat()),
        ),
        ("a wheel cut off", file(&valid.file_name, &valid.bytes[..valid.bytes.len() / 2])),
        ("an sdist cut off", file("own-1.0.tar.gz", &own().bytes[..own().bytes.len() / 2])),
        ("an empty file", file("own-1.0.tar.gz", b"")),
        ("no archive", file("own-1.0.tar.gz", b"DATA")),
        ("C-065 a bomb", file("own-1.0.tar.gz", &bomb(&ours))),
    ];
    packages.iter().map(|(id, package)| (*id, form(package))).collect()
}

/// C6: how the body travels.
fn transfer(own: &Package) -> Table {
    let form = up(own);
    let whole = Crafted::form(&form);
    let gzip = {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&form.bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let half = |framing| {
        let mut half = whole.clone().framing(framing);
        half.body.truncate(half.body.len() / 2);
        half
    };
    vec![
        ("C-026 half, FIN", half(Framing::Short(End::Fin))),
        ("C-026 half, RST", half(Framing::Short(End::Reset))),
        ("C-026 half in chunks, FIN", half(Framing::Unended(End::Fin))),
        ("C-026 half in chunks, RST", half(Framing::Unended(End::Reset))),
        ("C-026 all but the length, FIN", whole.clone().framing(Framing::Short(End::Fin))),
        ("C-026 all but the length, RST", whole.clone().framing(Framing::Short(End::Reset))),
        ("C-026 all but the last chunk, FIN", whole.clone().framing(Framing::Unended(End::Fin))),
        ("C-026 all but the last chunk, RST", whole.clone().framing(Framing::Unended(End::Reset))),
        ("C-066 gzip", Crafted::new(form.content_type(), gzip).header("Content-Encoding", "gzip")),
        ("C-066 said to be br", whole.clone().header("Content-Encoding", "br")),
        (
            "C-066 two codings",
            whole.clone().header("Content-Encoding", "identity").header("Content-Encoding", "deflate"),
        ),
        ("two types", whole.clone().header("Content-Type", "application/json")),
        ("two equal types", whole.clone().header("Content-Type", form.content_type())),
        ("a second credential", whole.clone().header("Authorization", basic(devpi::BOB, devpi::BOB))),
        (
            "devpi's credential",
            whole.clone().header("X-Devpi-Auth", devpi::devpi_auth(devpi::BOB, devpi::BOB)),
        ),
    ]
}

/// An sdist that is a thousand times larger than it looks.
fn bomb(metadata: &str) -> Vec<u8> {
    const SIZE: u64 = 160 << 20;
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    for (name, size) in [("own-1.0/PKG-INFO", metadata.len() as u64), ("own-1.0/zero", SIZE)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        if size == SIZE {
            archive.append_data(&mut header, name, std::io::repeat(0).take(SIZE)).unwrap();
        } else {
            archive.append_data(&mut header, name, metadata.as_bytes()).unwrap();
        }
    }
    archive.into_inner().and_then(GzEncoder::finish).unwrap()
}

/// What must be stored, exactly as it is: each with a version of its own.
pub fn accepted() -> Vec<(&'static str, Package, Crafted)> {
    let mut shelf = Shelf::default();
    let wheel = |package: &Package| Crafted::form(&up(package));
    let of_client = |form: fn(&Package) -> Form| move |package: &Package| Crafted::form(&form(package));
    let typed =
        |content_type: &'static str| move |package: &Package| Crafted::new(content_type, up(package).bytes());
    let with = |headers: &'static str, value: &'static str| {
        move |package: &Package| Crafted::form(&up(package).part(headers, value))
    };
    shelf.put("twine", &of_client(Form::twine));
    shelf.put("uv, attestations last", &|package| {
        Crafted::form(&Form::uv(package).field("attestations", "[{}]"))
    });
    shelf.put("pdm", &of_client(pdm));
    shelf.put("poetry", &of_client(poetry));
    shelf.put("hatch", &of_client(hatch));
    shelf.put("flit", &of_client(flit));
    shelf.put("maturin", &of_client(maturin));
    shelf.put("devpi-client", &of_client(devpi_client));
    shelf.put("curl, in chunks", &|package| Crafted::form(&curl(package)).framing(Framing::Chunks(3000)));
    shelf.put("C-001 a signature", &|package| {
        let headers =
            format!("{DISPOSITION}; name=\"gpg_signature\"; filename=\"{}.asc\"", package.file_name);
        Crafted::form(&up(package).part(&headers, "-----BEGIN PGP SIGNATURE-----"))
    });
    shelf.put("C-004 distutils", &|package| {
        let boundary = "--------------GHSKFJDLGDS7543FJKLFHRE75642756743254";
        let form = Form { boundary: boundary.to_owned(), ..Form::uv(package) };
        Crafted::new(form.content_type(), [b"\r\n".to_vec(), form.bytes()].concat())
    });
    shelf.put("C-005 repeated fields and a long text", &|package| {
        let form = (0..40).fold(up(package), |form, n| form.field("classifiers", format!("Topic :: {n}")));
        let form =
            (0..5).fold(form, |form, n| form.field("project_urls", format!("{n}, https://example.org/{n}")));
        Crafted::form(&form.field("description", "\u{e4}\r\n\r\n".repeat(40_000)))
    });
    shelf.put("C-020 a type in capitals", &typed("Multipart/Form-Data; BOUNDARY=XBX"));
    shelf.put("C-020 a quoted boundary", &typed("multipart/form-data;boundary=\"XBX\""));
    shelf.put("C-009 LF delimiter in the description", &|package| {
        let hidden = format!("x\n--{B}\n{DISPOSITION}; name=\"name\"\n\nvictim");
        Crafted::form(&up(package).field("description", hidden))
    });
    shelf.put("C-016 half a delimiter in the description", &|package| {
        Crafted::form(&up(package).field("description", "x\r\n--XB\r\n--XBY"))
    });
    shelf.put("C-032 an unquoted file name", &|package| {
        let quoted = format!("filename=\"{}\"", package.file_name);
        wheel(package).edit(quoted, format!("filename={}", package.file_name))
    });
    shelf.put("C-037 a binary file", &|package| {
        let coded = "application/octet-stream\r\nContent-Transfer-Encoding: binary";
        wheel(package).edit("application/octet-stream", coded)
    });
    shelf.put(
        "C-038 a charset that changes nothing",
        &with(
            "Content-Disposition: form-data; name=\"comment\"\r\nContent-Type: text/plain; charset=utf-8",
            "x",
        ),
    );
    shelf.put("C-056 fields that nobody knows", &|package| {
        let form = up(package).field("foo", "bar").field("overwrite", "1").field("__proto__", "x");
        Crafted::form(
            &form
                .field(":method", "DELETE")
                .field("NAME", "victim")
                .field("", "victim")
                .field("action", "remove_pkg"),
        )
    });
    shelf
        .put("C-066 a coding that is none", &|package| wheel(package).header("Content-Encoding", "identity"));
    shelf.put("C-067 in chunks of one byte", &|package| wheel(package).framing(Framing::Chunks(1)));
    for content in [
        format!(
            "DATA\n--{B}\n{DISPOSITION}; name=\"content\"; filename=\"victim-6.6.tar.gz\"\n\nEVIL\n--{B}--\n"
        ),
        format!(
            "DATA\n--{B}\n{DISPOSITION}; name=\"name\"\n\nvictim\n--{B}\n{DISPOSITION}; name=\":action\"\n\nremove_pkg\n--{B}--\n"
        ),
        "\r\n--XB\r\n--XB\r\r\n--\r\n-\r\n\n\n--XB--".to_owned(),
    ] {
        let version = shelf.version();
        let payload = stored_as_it_is(&version, content.as_bytes());
        let crafted = Crafted::form(&up(&payload));
        shelf.cases.push(("C-025 a form in the file", payload, crafted));
    }
    for (project, spelt, stem) in [
        ("own-pkg", "Own.Pkg", "own_pkg"),
        ("own-pkg", "own__pkg", "own_pkg"),
        ("own-pkg", "OWN-_.-PKG", "own_pkg"),
    ] {
        let version = shelf.version();
        let package = Package {
            project: spelt.to_owned(),
            file_name: format!("{stem}-{version}.tar.gz"),
            ..Package::sdist(project, &version)
        };
        shelf.cases.push(("C-047 another spelling", package.clone(), Crafted::form(&up(&package))));
    }
    let version = shelf.version();
    let large = Package::wheel_with("own", &version, &metadata("own", &version), &noise(3 << 20));
    shelf.cases.push(("C-006 three megabytes of noise", large.clone(), wheel(&large)));
    shelf.cases
}

#[derive(Default)]
struct Shelf {
    cases: Vec<(&'static str, Package, Crafted)>,
}

impl Shelf {
    /// A version that no other case has.
    fn version(&self) -> String {
        format!("3.{}", self.cases.len())
    }

    fn put(&mut self, id: &'static str, craft: &dyn Fn(&Package) -> Crafted) {
        let version = self.version();
        let package = if self.cases.len().is_multiple_of(2) {
            Package::wheel("own", &version)
        } else {
            Package::sdist("own", &version)
        };
        self.cases.push((id, package.clone(), craft(&package)));
    }
}

/// A wheel in which `payload` stands byte for byte.
fn stored_as_it_is(version: &str, payload: &[u8]) -> Package {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let metadata = metadata("own", version);
    for (name, bytes) in [
        (format!("own-{version}.dist-info/METADATA"), metadata.as_bytes()),
        ("own/payload".to_owned(), payload),
    ] {
        archive.start_file(name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    let bytes = archive.finish().unwrap().into_inner();
    assert!(memmem::find(&bytes, payload).is_some());
    Package { bytes, ..Package::wheel("own", version) }
}

/// What does not compress.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut word).flatten().take(length).collect()
}

/// pdm sends fields without a value, and its own spelling of `provides_extra`.
fn pdm(package: &Package) -> Form {
    let form = first_fields(package).field("metadata_version", "2.1");
    let form =
        ["summary", "home_page", "author", "license", "description", "keywords", "download_url", "comment"]
            .iter()
            .fold(form, |form, name| form.field(name, ""));
    let form =
        form.field("classifiers", "A :: B").field("classifiers", "C :: D").field("provides_extras", "x");
    digests(form, package)
        .field("gpg_signature", "own.asc")
        .field("gpg_signature", "-----BEGIN PGP SIGNATURE-----")
        .field(":action", "file_upload")
        .field("protocol_version", "1")
        .typed_file(&package.file_name, &package.bytes)
}

/// poetry sends the digests first.
fn poetry(package: &Package) -> Form {
    digests(Form::empty(), package)
        .field("filetype", package.file_type())
        .field("pyversion", package.python_version())
        .field("metadata_version", "2.1")
        .field("version", &package.version)
        .field("name", &package.project)
        .field("description", "# Own")
        .field(":action", "file_upload")
        .field("protocol_version", "1")
        .typed_file(&package.file_name, &package.bytes)
}

/// hatch sends the whole README before anything else.
fn hatch(package: &Package) -> Form {
    let form = Form::empty()
        .field("description", "# Own\n".repeat(20_000))
        .field("metadata_version", "2.1")
        .field("name", &package.project)
        .field("version", &package.version)
        .field("filetype", package.file_type())
        .field("pyversion", package.python_version())
        .field(":action", "file_upload")
        .field("protocol_version", "1");
    digests(form, package).typed_file(&package.file_name, &package.bytes)
}

/// flit leaves `pyversion` out for sdists, and the type of the file.
fn flit(package: &Package) -> Form {
    Form::empty()
        .field(":action", "file_upload")
        .field("name", &package.project)
        .field("version", &package.version)
        .field("metadata_version", "2.3")
        .field("provides", "own")
        .field("requires_python", ">=3.9")
        .field("protocol_version", "1")
        .field("filetype", package.file_type())
        .field("sha256_digest", package.sha256())
        .file(&package.file_name, &package.bytes)
}

/// maturin normalises the name, and calls an sdist a gzip file.
fn maturin(package: &Package) -> Form {
    let disposition = format!("{DISPOSITION}; name=\"content\"; filename=\"{}\"", package.file_name);
    let form = Form { boundary: "----formdata-ureq-0123abcd".to_owned(), ..Form::empty() };
    form.field(":action", "file_upload")
        .field("sha256_digest", package.sha256())
        .field("protocol_version", "1")
        .field("metadata_version", "2.1")
        .field("name", &package.project)
        .field("version", &package.version)
        .field("pyversion", package.python_version())
        .field("filetype", package.file_type())
        .field("requires_python", "")
        .part(&format!("{disposition}\r\nContent-Type: application/gzip"), &package.bytes)
}

/// devpi-client sends no digest, and a version of Python without `py`.
fn devpi_client(package: &Package) -> Form {
    Form::empty()
        .field("metadata_version", "2.1")
        .field("name", &package.project)
        .field("version", &package.version)
        .field("summary", "")
        .field("pyversion", "3")
        .field("filetype", package.file_type())
        .field(":action", "file_upload")
        .field("protocol_version", "1")
        .file(&package.file_name, &package.bytes)
}

/// What the manual of an index tells the users of curl to type.
fn curl(package: &Package) -> Form {
    let form = Form { boundary: "------------------------0123456789abcdef".to_owned(), ..Form::empty() };
    form.field(":action", "file_upload")
        .field("name", &package.project)
        .field("version", &package.version)
        .typed_file(&package.file_name, &package.bytes)
}

fn first_fields(package: &Package) -> Form {
    Form::empty()
        .field("name", &package.project)
        .field("version", &package.version)
        .field("filetype", package.file_type())
        .field("pyversion", package.python_version())
}

fn digests(form: Form, package: &Package) -> Form {
    form.field("sha256_digest", package.sha256()).field("blake2_256_digest", package.blake2_256())
}
