"""Classes of pictures from folders and tables."""

import pytest

from convscope.errors import ImageError
from convscope.image import labels_from_csv, labels_from_folders


def test_folders_name_classes(tmp_path):
    for name in ("ant/1.png", "bee/1.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    names = [str(tmp_path / "ant/1.png"), "sample:cat", str(tmp_path / "bee/1.png"), "-"]
    assert labels_from_folders(names) == ("ant", None, "bee", None)


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "labels.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("file,label\n1.png,ant\n2.png,bee\n", None),
        ("\ufefffile,class\r\n1.png,ant\r\n2.png,bee\r\n", None),
        ("path,species\n1.png,ant\n2.png,bee\n", None),
        ("picture,wings,what\n1.png,no,ant\n2.png,yes,bee\n", "what"),
        ('label,file\n ant ,1.png\n"bee",2.png\n', None),
        ("file,name,label\n1.png,ant,x\n2.png,bee,x\n", "name"),
    ],
)
def test_tables(table, text, column):
    names = ["photos/1.png", "2.png", "3.png"]
    assert labels_from_csv(names, table(text), column=column) == ("ant", "bee", None)


def test_the_longest_known_path_wins(table):
    path = table("file,label\n1.png,any\na/1.png,of a\n2.png,\n")
    assert labels_from_csv(["x/a/1.png", "b/1.png", "2.png"], path) == ("of a", "any", None)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("file,label\n1.png,ant\n", "lable", "has no column 'lable'. Did you mean 'label'? Give one of 'label', as in"),
        ("file,wings,legs\n1.png,2,6\n", None, "which column of"),
        ("file\n1.png\n", None, "has 1 columns. Expected a header such as file,label."),
        ("", None, "has 0 columns."),
        (
            "file,label\n9.png,ant\n",
            None,
            "knows none of the 1 pictures. Its column 'file' should hold their file names.",
        ),
        (b"\xff\xfe\x00\x81", None, "is no CSV file ("),
    ],
)
def test_bad_tables_are_one_line(table, text, column, words):
    path = table(text)
    with pytest.raises(ImageError) as caught:
        labels_from_csv(["1.png"], path, column=column)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_table(tmp_path):
    with pytest.raises(ImageError, match=r"cannot read '.*gone\.csv': no such file or directory\."):
        labels_from_csv(["1.png"], tmp_path / "gone.csv")
