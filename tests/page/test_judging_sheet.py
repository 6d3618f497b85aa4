"""The sheet of the advanced tasks in a browser: judge, come back, write CSV."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from service.experiments.sheet import Shown, read_verdicts, write_sheet
from tests.experiments.stand_ins import draw


def test_verdicts_survive_a_reload_and_are_written_as_csv(browser: Browser, tmp_path: Path) -> None:
    images, file = draw(tmp_path / "memes", "1.png", "2.png"), tmp_path / "sheet.html"
    answers = {"one": 'Fine, "good"\nanswer <script>alert(1)</script>', "other": "Bad."}
    write_sheet(
        file,
        [
            Shown(f"memes/{name}", "memes", "Why?", images / name, answers)
            for name in ("1.png", "2.png")
        ],
    )
    context = browser.new_context()
    page, problems = context.new_page(), []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request", lambda request: problems.append(request.url) if "http" in request.url else None
    )
    page.goto(file.as_uri())
    cells = page.get_by_role("group")
    expect(cells).to_have_count(4)
    cells.nth(0).get_by_label("yes").check()
    cells.nth(3).get_by_label("no").check()
    cells.nth(3).get_by_label("Comment").fill('dull, "very"')
    page.reload()
    expect(page.get_by_role("status")).to_have_text("2 of 4 judged")
    expect(cells.nth(3).get_by_label("Comment")).to_have_value('dull, "very"')
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    saved = tmp_path / download.value.suggested_filename
    download.value.save_as(saved)
    context.close()
    known = {f"memes/{name}/{at}" for name in ("1.png", "2.png") for at in (1, 2)}
    assert read_verdicts(saved, known) == {"memes/1.png/1": True, "memes/2.png/2": False}
    assert '"dull, ""very"""' in saved.read_text()
    assert not problems
