"""The list of students: whatever a school exports is understood, or refused with the line and what to do."""

import codecs

import pytest

from labs_utils.classroom import roster
from labs_utils.classroom.roster import Student
from labs_utils.errors import WorkbookError

TWO = [Student("s01", "Student One", "one@school.example"), Student("s02", "学生二", "two@school.example")]
PLAIN = "name,id,email\nStudent One,s01,one@school.example\n学生二,s02,two@school.example\n"


@pytest.fixture
def given(tmp_path):
    """Writes a file and reads it as a roster."""

    def read(text: str | bytes, encoding: str = "utf-8"):
        path = tmp_path / "list.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return roster.read(path)

    return read


def refused(given, text, encoding="utf-8") -> str:
    with pytest.raises(WorkbookError) as caught:
        given(text, encoding)
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be"),
        PLAIN.encode("utf-16-le"),  # without its mark
        PLAIN.replace(",", ";").encode("utf-8-sig"),
        PLAIN.replace(",", "\t").encode("utf-16"),  # Excel's "Unicode text"
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        ("sep=;\r\n" + PLAIN.replace(",", ";")).encode(),
        PLAIN.replace("Student One", ' "One, Student"').encode(),
        PLAIN.replace(",s01,", ',"=""s01""",').encode(),  # how some keep a spreadsheet from counting with it
        ("\n\n" + PLAIN.replace("\n", "\n,,\n\n")).encode(),
    ],
)
def test_the_same_list_in_every_form_that_programs_write(given, content):
    assert list(given(content).students.values()) == TWO


@pytest.mark.parametrize(
    ("encoding", "header", "row", "name"),
    [
        ("gb18030", "姓名,学号", "学生一", "学生一"),
        ("big5", "姓名,學號", "學生一", "學生一"),
        ("cp949", "이름,학번", "학생하나", "학생하나"),
        ("cp932", "氏名,学籍番号", "学生一", "学生一"),
        ("cp1251", "ФИО,Логин", "Студент Один", "Студент Один"),
        ("cp1250", "Jméno,Příjmení,ID", "Žák,Třetí", "Žák Třetí"),
        ("cp1252", "Prénom,Nom,ID", "Élève,Trois", "Élève Trois"),
        ("cp1252", "Vorname,Nachname,Matrikelnummer", "Schüler,Fünf", "Schüler Fünf"),
    ],
)
def test_an_old_encoding_is_understood_where_the_header_or_the_accents_prove_it(given, encoding, header, row, name):
    found = given(f"{header}\n{row},s01\n", encoding)
    assert found.students == {"s01": Student("s01", name, "")}
    assert f"look whether {name} is right" in found.said


def test_a_chinese_name_in_two_columns_has_its_last_name_first_and_no_space(given):
    assert given("名,姓,学号\n一,欧阳,s01\n").students["s01"].name == "欧阳一"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("name,id\nИванов Иван,s01\n", "cp1251"),  # would be letters with accents in Windows-1252
        ("name,id\n김철수,s01\n", "cp949"),  # would be Chinese names in GB18030
        ("name,id\n学生一,s01\n", "gb18030"),
        ("name,id\nYıldız Şahin,s01\n", "cp1254"),
        ("name,id\nStudentin Größe,s01\n", "mac-roman"),
    ],
)
def test_an_encoding_that_nothing_proves_is_refused_and_not_guessed(given, text, encoding):
    assert "save it as “CSV UTF-8”" in refused(given, text, encoding)


def test_accents_in_western_files_are_not_taken_for_central_european_ones(given):
    """é is the same byte in Windows-1250 and -1252, è is not: a word with é proves nothing."""
    found = given("Prénom;Nom;Numéro étudiant\nHélène;Élève\xa0Trois;s01\n", "cp1252")
    assert found.students["s01"].name == "Hélène Élève Trois"


MOODLE = "First name,Last name,ID number,Email address,Last access\nÉlève,Trois,s03,three@school.example,never\n"
WORKSHEET = (
    "Identifier,Full name,ID number,Email address,Status,Grade\n"
    "Participant 1234567,Élève Trois,s03,three@school.example,Submitted,\n"
)
CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,Chapter 04 (4711)\n"
    "    Points Possible,,,,,14\n"
    '"Trois, Élève",12345,s03,trois,Section 1,\n'
    '"Student, Test",999,,,Section 1,\n'
)
GERMAN = "Vorname;Nachname;ID-Nummer;E-Mail-Adresse\nÉlève;Trois;s03;three@school.example\n"
LAST_FIRST = "Nom;Prénom;Identifiant\nTrois;Élève;s03\n"


@pytest.mark.parametrize("text", [MOODLE, WORKSHEET, CANVAS, GERMAN, LAST_FIRST])
def test_what_learning_platforms_export(given, text):
    (student,) = given(text).students.values()
    assert (student.id, student.name) == ("s03", "Élève Trois")
    assert student.email in ("three@school.example", "")


def test_what_is_said_names_the_columns_so_that_a_teacher_can_see_a_mistake(given):
    said = given(GERMAN).said
    assert said == (
        "1 student: Élève Trois. Name: columns 'Vorname' and 'Nachname'; id: column 'ID-Nummer'; "
        "e-mail: column 'E-Mail-Adresse'."
    )


def test_an_id_column_that_is_empty_gives_way_to_one_that_is_not_and_then_to_the_email(given):
    header = "Student,ID,SIS User ID,SIS Login ID"
    assert list(given(f"{header}\nStudent One,12345,,one\n").students) == ["one"]
    assert list(given("Name,ID number,Email\nStudent One,,one@school.example\n").students) == ["one@school.example"]


ROWS = "name,id,email\nStudent One,s01,one@school.example\n"


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("Student Two,s01,two@school.example", "line 3: the id 's01' is that of line 2 too"),
        ("Student Two,S01,two@school.example", "line 3: the id 'S01' is that of line 2 too"),
        ("Student Two,ｓ０１,two@school.example", "line 3: the id 'ｓ０１' is that of line 2 too"),  # full width
        ("Student Two,s02,ONE@school.example", "line 3: the e-mail address 'ONE@school.example' is that of line 2 too"),
        ("Student Two,S02,\nStudent Three,s02,", "line 4: the id 's02' is that of line 3 too"),
        (",s02,two@school.example", "line 3: the name is missing"),
        ("Student Two,,two@school.example", "line 3: the id is missing"),
        ("Student Two,../s02,", "line 3: the id '../s02' holds '/'"),
        ("Student Two,s 02,", "line 3: the id 's 02' holds ' '"),
        ("Student Two,..,", "begins with a letter or a digit"),
        ("Student Two,-rf,", "begins with a letter or a digit"),
        ("Student Two,CON,", "Windows keeps"),
        (f"Student Two,{'x' * 65},", "65 characters"),
        ("Student Two,1.23E+11,", "holds '+'"),  # what a spreadsheet makes of a long number
        ("Student Two,s02,two", "'two' is no e-mail address"),
        ('Student "Two,s02,\n"open,s03,', "line 4: the row can't be read"),
        ("\nStudent Two,\n\n,s02,", "line 4: the id is missing"),
        ('"Student\nTwo",s/02,\nThree,,', "line 3: the id 's/02' holds '/'"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_line(given, row, sentence):
    assert sentence in refused(given, f"{ROWS}{row}\n")


def test_two_unicode_forms_of_one_id_are_one(given):
    assert "that of line 2 too" in refused(given, "name,id\nOne,é1\nTwo,e\u03011\n")


def test_all_rows_are_named_up_to_ten_sentences(given):
    *sentences, more, end = refused(given, "name,id\n" + "".join(f",s{one}\n" for one in range(13))).splitlines()
    assert sentences == [f"list.csv, line {line}: the name is missing." for line in range(2, 12)]
    assert more == "… and 3 more." and "nothing was taken" in end


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf\r\n\r\n", "is empty"),
        (b"PK\x03\x04rest", "is a spreadsheet"),
        (b"\xd0\xcf\x11\xe0rest", "is a spreadsheet"),
        (b"Klasse,Raum\n5b,12\n", "It says 'Klasse', 'Raum'. Looked for: name"),
        (b"name\nStudent One\n", "neither a column for the id nor one for the e-mail address"),
        (b"id,email\ns01,one@school.example\n", "no column for the name"),
        (b"name,id,name\nOne,s01,Two\n", "'name' stands twice"),
        (b"name,id\n" + b"x" * 5_000_001, "more than 5 MB"),
        (b"name,id\nOne\0,s01\n", "encoding"),
    ],
)
def test_a_file_that_is_no_list_says_so(given, content, sentence):
    assert sentence in refused(given, content)


def test_a_file_that_is_not_there_or_is_a_folder(tmp_path):
    for path in (tmp_path / "nothing.csv", tmp_path):
        with pytest.raises(WorkbookError, match="could not be read"):
            roster.read(path)


def test_names_lose_what_cannot_be_seen_and_keep_what_their_script_needs(given):
    found = given("name,id\n\u202eStudent\u200b \x1b[2J  One,s01\nمی\u200cخواهم,s02\n").students
    assert found["s01"].name == "Student [2J One"
    assert found["s02"].name == "می\u200cخواهم"


def test_columns_that_are_not_needed_do_not_reach_our_own_file(given, tmp_path):
    found = given("name,id,birthday\nStudent One,s01,2001-02-03\n")
    assert "2001" not in roster.plain(list(found.students.values()))


def test_our_own_form_is_read_back_as_it_was(tmp_path):
    path = tmp_path / "roster.csv"
    odd = [*TWO, Student("s03", 'Student "Three", Jr.', ""), Student("学号-04", "=1+1", "")]
    path.write_text(roster.plain(odd), encoding="utf-8")
    assert list(roster.read(path).students.values()) == odd


def test_adding_and_removing_leave_every_other_line_as_it_was(tmp_path):
    """Also what a teacher wrote beside: further columns, empty lines, a name over two lines."""
    path = tmp_path / "roster.csv"
    text = 'id;note;name\ns01;\u2028left;Student One\n\ns02;;"Student\nTwo"\ns03;;Student Three\n'
    path.write_text(text, encoding="utf-8")
    path.write_text(roster.with_student(path, Student("s04", "Student; Four", "")), encoding="utf-8")
    assert path.read_text(encoding="utf-8-sig") == text + 's04;;"Student; Four"\n'
    path.write_text(roster.without_student(path, "s02"), encoding="utf-8")
    left = path.read_text(encoding="utf-8-sig")
    assert left == text.replace('s02;;"Student\nTwo"\n', "") + 's04;;"Student; Four"\n'
    assert list(roster.read(path).students) == ["s01", "s03", "s04"]
