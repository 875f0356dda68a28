"""The list of a class's students, read from what schools export: any separator, most encodings, headers in many words.

Nothing here is guessed in silence. The separator is the one under which the header is understood; an encoding other
than Unicode is believed only where a word of the header proves it (a Chinese file says 姓名 in its own encoding) or
where every accent stands as it does in Western names; `Roster.said` tells what was understood.
"""

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labs_utils.errors import WorkbookError

LARGEST = 5_000_000  # bytes; a list of thirty has some three thousand
_MESSAGES = 10  # at most so many lines of what is wrong

# What a column is called, in the order of preference where several of one kind are there. Compared without case,
# spaces and signs. Moodle's and Canvas's own headers are among them.
HEADERS = {
    "id": (
        *(
            "student id",
            "student number",
            "student no",
            "id number",
            "matriculation number",
            "sis user id",
            "school id",
        ),
        *("matrikelnummer", "matrikel nr", "matrikel", "schülernummer", "id nummer", "idnummer", "numéro étudiant"),
        *("numéro d'étudiant", "numéro d'identification", "n° étudiant", "número de id", "número de identificación"),
        *("matrícula", "matricola", "numero di matricola", "número de matrícula", "studentnummer", "leerlingnummer"),
        *("学号", "學號", "学生编号", "学籍番号", "学生番号", "학번", "номер студента", "номер зачетной книжки"),
        *("sis login id", "login id", "login", "username", "user name", "anmeldename", "benutzername", "identifiant"),
        *("nom d'utilisateur", "nombre de usuario", "usuario", "用户名", "帳號", "账号", "ユーザ名", "아이디", "логин"),
        "id",
    ),
    "email": (
        *(
            "email",
            "e-mail",
            "email address",
            "e-mail address",
            "mail",
            "e-mail-adresse",
            "emailadresse",
            "mailadresse",
        ),
        *("adresse de courriel", "courriel", "adresse e-mail", "adresse email", "adresse électronique", "correo"),
        *("correo electrónico", "dirección de correo", "dirección email", "dirección de correo electrónico"),
        *("indirizzo email", "endereço de e-mail", "电子邮件", "电子邮件地址", "电子邮箱", "邮箱", "邮件", "電子郵件"),
        *("メールアドレス", "이메일", "электронная почта", "адрес электронной почты"),
    ),
    "first": (
        *("first name", "firstname", "given name", "given names", "forename", "vorname", "prénom", "nombre", "nombres"),
        *("nome", "primeiro nome", "voornaam", "förnamn", "fornavn", "etunimi", "imię", "jméno", "名", "名字"),
        *("имя",),
    ),
    "last": (
        *("last name", "lastname", "surname", "family name", "nachname", "familienname", "nom de famille"),
        *("apellido", "apellidos", "apellido(s)", "cognome", "sobrenome", "apelido", "achternaam", "efternamn"),
        *("efternavn", "etternavn", "sukunimi", "nazwisko", "příjmení", "姓", "姓氏", "фамилия"),
    ),
    "name": (
        *("last name, first name", "name, vorname", "nachname, vorname", "nom, prénom", "nom et prénom", "nom prénom"),
        *("name", "full name", "student name", "student", "display name", "vollständiger name", "voller name", "nom"),
        *("nom complet", "nombre completo", "nome completo", "姓名", "学生姓名", "全名", "氏名", "이름", "성명", "фио"),
    ),
}
_SUFFIXES = {"jr", "jnr", "sr", "snr", "ii", "iii", "iv", "phd", "md", "dr"}
_SIGNS = re.compile(r"[\W_]+")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(1, 10))}
# Old encodings, each believed only where a word of the header in its own letters proves it.
_PROVED = {
    "gb18030": "GB18030 (Chinese)",
    "big5": "Big5 (Chinese)",
    "cp949": "Korean (949)",
    "cp932": "Shift-JIS (Japanese)",
    "cp1251": "Windows-1251 (Cyrillic)",
    "cp1250": "Windows-1250 (Central European)",
}


@dataclass(frozen=True)
class Student:
    """One student of the class. The id names their files; it never changes."""

    id: str
    name: str
    email: str  # empty where the school's list has none


@dataclass(frozen=True)
class Roster:
    """The students, in the order of the file, and a sentence for the teacher: what was understood, and how."""

    students: dict[str, Student]
    said: str


@dataclass(frozen=True)
class _Table:
    """A CSV file as it was understood."""

    text: str
    encoding: str  # for people; empty for UTF-8
    separator: str
    header: list[str]
    rows: list[tuple[int, int, list[str]]]  # first and last line in the file, and the cells
    columns: dict[str, int]  # "id", "name", "first", "last", "email" -> the column's place


def read(path: Path) -> Roster:
    """Read a list of students from a CSV file as a school exports it.

    Needed are a column for the name (or two, for first and last name), and one for the id; where there is none, the
    e-mail address serves as the id. Every other column is left out. Empty rows are skipped, and those that Canvas adds.

    Raises:
        WorkbookError: the file can't be read, has no header that is known, or has rows that can't be used: one line
            for each, with its line number.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "list.csv"
    >>> _ = path.write_bytes("Vorname;Nachname;Matrikelnummer\\nStudentin;Eins;s01\\n".encode("utf-8-sig"))
    >>> read(path).students
    {'s01': Student(id='s01', name='Studentin Eins', email='')}
    >>> read(path).said
    "1 student: Studentin Eins. Name: columns 'Vorname' and 'Nachname'; id: column 'Matrikelnummer'; no e-mail."
    """
    table = _table(path)
    students: dict[str, Student] = {}
    problems: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    for line, _, cells in table.rows:
        student = _student(table, cells)
        wrong = _wrong(student, seen, table)
        if wrong:
            problems += [f"{path.name}, line {line}: {sentence}" for sentence in wrong]
        seen[("id", folded(student.id))] = line
        seen[("email", folded(student.email))] = line
        students[student.id] = student
    if problems:
        more = [f"… and {len(problems) - _MESSAGES} more."] if len(problems) > _MESSAGES else []
        raise WorkbookError("\n".join([*problems[:_MESSAGES], *more, "Mend the file; nothing was taken from it."]))
    return Roster(students, _said(table, list(students.values())))


def folded(text: str) -> str:
    """A text as it is compared: without case, and in one Unicode form.

    >>> folded("Élève") == folded("E\\u0301LE\\u0300VE")
    True
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _student(table: _Table, cells: Sequence[str]) -> Student:
    def cell(kind: str) -> str:
        place = table.columns.get(kind, -1)
        return _clean(cells[place]) if 0 <= place < len(cells) else ""

    name = _full_name(cell("first"), cell("last")) if "first" in table.columns else _turned(cell("name"))
    return Student(cell("id") or ("" if "id" in table.columns else cell("email")), name, cell("email"))


def _clean(cell: str) -> str:
    """A cell without what spreadsheets put around it: spaces, `="00123"`, signs that can't be seen."""
    text = unicodedata.normalize("NFC", cell)
    kept = "".join(" " if one.isspace() else one for one in text if one.isspace() or not _is_unseen(one))
    found = " ".join(kept.split())
    return found[2:-1].strip() if found.startswith('="') and found.endswith('"') else found


def _is_unseen(character: str) -> bool:
    """Control signs, and those that turn the direction of a line. Persian and Indic names need the two joiners."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs") and character not in "\u200c\u200d"


def _full_name(first: str, last: str) -> str:
    """A Chinese, Japanese or Korean name has its last name first, and no space."""
    return last + first if first and last and _is_east_asian(first + last) else f"{first} {last}".strip()


def _is_east_asian(text: str) -> bool:
    return all(unicodedata.name(one, "").startswith(("CJK", "HANGUL", "HIRAGANA", "KATAKANA")) for one in text)


def _turned(name: str) -> str:
    """Canvas writes "Last, First". A name such as "Martin King, Jr." stays as it is."""
    last, _, first = (part.strip() for part in name.partition(","))
    turns = last and first and "," not in first and _key(first) not in _SUFFIXES
    return f"{first} {last}" if turns else name


def _wrong(student: Student, seen: dict[tuple[str, str], int], table: _Table) -> list[str]:
    """What can't be used in one row, a sentence for each."""
    found = []
    if not student.name:
        found.append("the name is missing.")
    if not student.id:
        found.append("the id is missing." if "id" in table.columns else "there is neither an id nor an e-mail address.")
    elif reason := refused_id(student.id):
        found.append(f"the id {student.id!r} {reason}")
    elif line := seen.get(("id", folded(student.id))):
        found.append(f"the id {student.id!r} is that of line {line} too; each student needs their own.")
    if student.email and student.email.count("@") != 1:
        found.append(f"{student.email!r} is no e-mail address; leave the cell empty if there is none.")
    elif student.email and (line := seen.get(("email", folded(student.email)))) and student.id != student.email:
        found.append(f"the e-mail address {student.email!r} is that of line {line} too.")
    return found


def refused_id(given: str) -> str:
    """Why an id can't name files, as the end of a sentence; "" if it can.

    >>> refused_id("学号-07"), refused_id("a/b")
    ('', "holds '/'. Files are named by it: use letters, digits and - _ . @ alone.")
    """
    allowed = [one.isalnum() or unicodedata.category(one)[0] == "M" or one in "-_.@" for one in given]
    if not given:
        return "is empty."
    if not all(allowed):
        strange = given[allowed.index(False)]
        return f"holds {strange!r}. Files are named by it: use letters, digits and - _ . @ alone."
    if len(given) > 64 or len(given.encode()) > 200:
        return f"has {len(given)} characters, and a file's name has room for 64."
    if not given[0].isalnum() or given.endswith("."):
        return "names files, so it begins with a letter or a digit, and ends with no dot."
    if given.partition(".")[0].lower() in _RESERVED:
        return "is a name that Windows keeps for itself; files can't bear it."
    return ""


# --- the file -----------------------------------------------------------------------------------------------------


def _table(path: Path) -> _Table:
    """The file's text, cut into rows, with what its columns are."""
    content = _bytes(path)
    text, encoding = _decoded(path, content)
    lead = re.match(r"sep=(.)\r?\n", text)  # Excel's own first line
    choices = lead[1] if lead else ",;\t|"
    tables = [_cut(path, text, encoding, separator, bool(lead)) for separator in choices]
    table = max(tables, key=lambda one: len(one.columns))  # the first of equals: a file of one column has none
    _refuse_header(path, table)
    return table


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST:
            raise WorkbookError(f"{path} has more than {LARGEST // 1_000_000} MB: that is no list of a class.")
        content = path.read_bytes()
    except OSError as error:
        raise WorkbookError(f"{path} could not be read ({error.strerror}). Give the CSV file of the class.") from None
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise WorkbookError(
            f"{path} is a spreadsheet or an archive. In the spreadsheet, save it as “CSV UTF-8”, and give that file."
        )
    if not content.strip(b"\xef\xbb\xbf\xff\xfe \t\r\n,;\0"):
        raise WorkbookError(f"{path} is empty. Give the CSV file of the class: a header, and a line for each student.")
    return content


def _decoded(path: Path, content: bytes) -> tuple[str, str]:
    """The text, and what to say of its encoding (nothing, for UTF-8)."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if content.startswith(mark):
            text = _tried(content, name)
            if text is not None:
                return text, "" if name == "utf-8-sig" else "UTF-16"
    if b"\0" in content:
        for name in ("utf-16-le", "utf-16-be"):
            text = _tried(content, name)
            if text is not None and _knows_header(text, lambda word: True):
                return text, "UTF-16"
    elif (text := _tried(content, "utf-8")) is not None:
        return text, ""
    else:
        for name, said in _PROVED.items():
            text = _tried(content, name)
            if text is not None and _knows_header(text, _is_proof):
                return text, said
        text = _tried(content, "cp1252")
        if text is not None and _looks_western(text):
            return text, "Windows-1252 (Western European)"
    raise WorkbookError(
        f"The encoding of {path} is unknown: it is not UTF-8, and nothing in it says what else. Open it where it came "
        "from, save it as “CSV UTF-8”, and give that file."
    )


def _tried(content: bytes, encoding: str) -> str | None:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return None


def _knows_header(text: str, counts: Callable[[str], bool]) -> bool:
    """Does the first line that says anything hold a known word of the right kind?"""
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("sep=")), "")
    words = [_key(word) for word in re.split(r"[,;\t|]", first)]
    return any(word in _KINDS and counts(word) for word in words)


def _is_proof(word: str) -> bool:
    """A word with letters beyond Western Europe's: é is the same byte in several encodings, ř, 姓 and ф are not."""
    try:
        return not word.encode("cp1252")
    except UnicodeEncodeError:
        return True


def _looks_western(text: str) -> bool:
    """Is every letter with an accent where Western names have one: at most two in a row, no capital inside a word?

    Where Icelandic has ð, ý and þ, Turkish files have ğ, ı and ş: those are not believed.
    """
    accented = re.findall(r"[^\x00-\x7f]+", text)
    letters = all(
        one in "’‘“”–—´·ºª°\xa0" or (one.isalpha() and one not in "ÐÝÞðýþ") for run in accented for one in run
    )
    return letters and max(map(len, accented)) <= 2 and not re.search(r"[a-zß-ÿ](?![a-zß-ÿ])[À-ÞŠŽŸ]", text)


def _cut(path: Path, text: str, encoding: str, separator: str, leads: bool) -> _Table:
    """The rows under one separator. The header is the first row that says anything."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    rows: list[tuple[int, int, list[str]]] = []
    begun, broken = 1, ""
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells) and not (leads and begun == 1):
                rows.append((begun, reader.line_num, cells))
            begun = reader.line_num + 1
    except csv.Error as error:
        broken = f"line {begun}: the row can't be read ({error}). Look for a quotation mark without its other."
    header = [cell.strip() for cell in rows[0][2]] if rows else []
    columns = _columns(header, [cells for *_, cells in rows[1:]])
    if broken and len(columns) > 1:  # under another separator it may be whole
        raise WorkbookError(f"{path.name}, {broken}")
    below = [row for row in rows[1:] if not _is_of_canvas(header, row[2])]
    return _Table(text, encoding, separator, header, below, columns)


def _key(word: str) -> str:
    return _SIGNS.sub("", folded(word))


_KINDS = {_key(word): (kind, rank) for kind, words in HEADERS.items() for rank, word in enumerate(words)}


def _columns(header: Sequence[str], rows: Sequence[Sequence[str]] = ()) -> dict[str, int]:
    """Which column is what. Of several of a kind, the preferred one that says anything in some row."""
    found: dict[str, list[tuple[bool, int, int]]] = {}
    for place, word in enumerate(header):
        if _key(word) in _KINDS:
            kind, rank = _KINDS[_key(word)]
            empty = bool(rows) and not any(place < len(cells) and cells[place].strip() for cells in rows)
            found.setdefault(kind, []).append((empty, rank, place))
    columns = {kind: min(places)[2] for kind, places in found.items() if not (kind == "id" and min(places)[0])}
    is_last = "name" in columns and _key(header[columns["name"]]) in ("name", "nom")
    if "first" in columns and "last" not in columns and is_last:
        columns["last"] = columns["name"]  # "Name;Vorname" and "Nom;Prénom"
    if "first" in columns and "last" in columns:
        columns.pop("name", None)
    elif "name" in columns:
        columns.pop("first", None)
        columns.pop("last", None)
    return columns


def _is_of_canvas(header: Sequence[str], cells: Sequence[str]) -> bool:
    """Canvas puts the possible points below its header, and a test student at the end; neither has a number."""
    keys = [_key(word) for word in header]
    if "sisloginid" not in keys and "sisuserid" not in keys:
        return False
    own = [cells[keys.index(key)].strip() for key in keys if key in ("id", "sisloginid", "sisuserid")]
    return not any(own) or cells[0].strip() in ("Student, Test", "Test Student")


def _refuse_header(path: Path, table: _Table) -> None:
    """A header in which no name, or neither an id nor an e-mail address, is found."""
    found = ", ".join(repr(word) for word in table.header[:12] if word) or "nothing"
    listed = "name (or first name and last name), id (student id, id number, SIS User ID …), e-mail"
    has_name = "name" in table.columns or {"first", "last"} & table.columns.keys()
    if not has_name or not {"id", "email"} & table.columns.keys():
        lacks = (
            "no column for the name" if not has_name else "neither a column for the id nor one for the e-mail address"
        )
        raise WorkbookError(
            f"{path}: the header has {lacks}. It says {found}. Looked for: {listed}, or the same in German, French, "
            "Spanish, Italian, Chinese, Japanese, Korean or Russian. Give the columns such names in the first line."
        )
    twice = [word for word in table.header if _key(word) in _KINDS and table.header.count(word) > 1]
    if twice:
        raise WorkbookError(f"{path}: the column {twice[0]!r} stands twice in the header. Delete or rename one.")


def _said(table: _Table, students: Sequence[Student]) -> str:
    """What was understood, for the teacher to look at."""
    count = f"{len(students)} student{'' if len(students) == 1 else 's'}"
    ends = " … ".join(dict.fromkeys(one.name for one in (*students[:1], *students[-1:]))) or "nobody yet"
    named = {kind: repr(table.header[place]) for kind, place in table.columns.items()}
    kinds = [named[kind] for kind in ("first", "last", "name") if kind in named]
    name = f"columns {kinds[0]} and {kinds[1]}" if len(kinds) == 2 else f"column {kinds[0]}"
    own = f"column {named['id']}" if "id" in named else "the e-mail address"
    email = f"e-mail: column {named['email']}" if "email" in named else "no e-mail"
    said = f"{count}: {ends}. Name: {name}; id: {own}; {email}."
    accents = [one.name for one in students if not one.name.isascii()][:3]
    if table.encoding:
        look = f": look whether {' · '.join(accents)} is right" if accents else ""
        said += f" The file was read as {table.encoding}{look}."
    return said


# --- our own plain form ---------------------------------------------------------------------------------------------


def plain(students: Sequence[Student]) -> str:
    """The text of a class's own roster.csv: name, id, e-mail. It begins with a byte-order mark, so that a spreadsheet
    shows 学生 as that."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", "id", "email"])
    writer.writerows([one.name, one.id, one.email] for one in students)
    return "\ufeff" + out.getvalue()


def with_student(path: Path, student: Student) -> str:
    """The text of a roster with one more line; the others, and further columns, stay as they are.

    Raises:
        WorkbookError: the id or the e-mail address is there already or can't be used, or the file can't be read.
    """
    known = read(path).students
    table = _table(path)
    clean = Student(_clean(student.id), _clean(student.name), _clean(student.email))
    seen = {("id", folded(one.id)): place for place, one in enumerate(known.values(), 2)}
    seen |= {("email", folded(one.email)): place for place, one in enumerate(known.values(), 2) if one.email}
    if wrong := _wrong(clean, seen, table):
        raise WorkbookError(f"{student.name or student.id} was not added: {' '.join(wrong)}")
    if not {"name", "id"} <= table.columns.keys() or (clean.email and "email" not in table.columns):
        raise WorkbookError(f"{path} has other columns than name, id and email. Add the line there by hand.")
    cells = [""] * len(table.header)
    for kind, value in (("name", clean.name), ("id", clean.id), ("email", clean.email)):
        if kind in table.columns:
            cells[table.columns[kind]] = value
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=table.separator, lineterminator="\n").writerow(cells)
    text = table.text if table.text.endswith("\n") else table.text + "\n"
    return "\ufeff" + text + out.getvalue()


def without_student(path: Path, student: str) -> str:
    """The text of a roster without the line of one id; every other line stays as it is."""
    table = _table(path)
    lines = list(io.StringIO(table.text, newline=""))  # ends of lines as the csv module counts them
    gone = {
        line
        for first, last, cells in table.rows
        if _student(table, cells).id == student
        for line in range(first, last + 1)
    }
    return "\ufeff" + "".join(text for line, text in enumerate(lines, 1) if line not in gone)
