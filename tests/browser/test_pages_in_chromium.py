"""The pages in a real browser, wide and narrow: the figures are there, the pictures are drawn, nothing complains."""

import re
from contextlib import contextmanager
from urllib.parse import urlparse

import pytest

pytestmark = pytest.mark.browser

WIDTHS = (1280, 390)
HEIGHT = 800
PATIENCE_MS = 60_000
# Below a page's path Streamlit's client asks for its own endpoints, before it finds them at the root.
PROBE = re.compile(r"/[a-z]+/_stcore/(health|host-config)$")

PAGES = {
    "owner": ("owner?role=Owner", "My sites", 3),
    "operations": ("operations?role=Operator&operator=VoltRun", "Operations", 4),
    "cdrs": ("cdrs?role=EMSP&month=February+2026", "Charge detail records", 4),
    "sql": ("sql?role=Analyst&q=select+site_id,+revenue_net+from+marts.fct_site_month", "Tables and SQL", 0),
    "health": ("health?role=Analyst&period=90+days", "Data health", 1),
}


@contextmanager
def page_at(browser, url: str, width: int, scheme: str = "light"):
    """Open ``url``, wait for its headline; fails on any complaint of the browser and on any request to elsewhere."""
    page = browser.new_page(viewport={"width": width, "height": HEIGHT}, color_scheme=scheme)
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
    page.on(
        "console",
        lambda message: (
            complaints.append(f"console: {message.text} {message.location.get('url')}")
            if message.type == "error" and not PROBE.search(message.location.get("url", ""))
            else None
        ),
    )
    page.on(
        "request",
        lambda request: (
            complaints.append(f"left this machine: {request.url}")
            if urlparse(request.url).hostname not in ("127.0.0.1", None)
            else None
        ),
    )
    page.goto(url)
    yield page
    assert complaints == []
    page.close()


def settle(page, pictures: int) -> None:
    """Wait until the script has run and every picture is drawn."""
    page.wait_for_function(
        "n => document.querySelectorAll('.js-plotly-plot .main-svg').length >= n"
        " && document.querySelectorAll('[data-testid=stSkeleton]').length === 0"
        " && document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'",
        arg=pictures,
    )


def whole(page, width: int) -> None:
    """Make the window as high as the page, so that a screenshot shows all of it."""
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": width, "height": min(height + 20, 8000)})


def text_of(page) -> str:
    return re.sub(r"\s+", " ", page.locator("[data-testid=stMain]").inner_text())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_each_page_is_drawn_without_a_complaint(browser, server, artifacts, name, width):
    path, title, pictures = PAGES[name]
    with page_at(browser, f"{server}/{path}", width) as page:
        page.locator("h4").first.wait_for()
        settle(page, pictures)
        assert page.locator("h1").inner_text() == title
        page.screenshot(path=artifacts / f"{name}_{width}_first_screen.png")
        whole(page, width)
        settle(page, pictures)
        page.wait_for_timeout(500)  # Plotly redraws to the new size
        page.screenshot(path=artifacts / f"{name}_{width}.png")
        main = page.locator("[data-testid=stMain]")
        assert main.evaluate("e => e.scrollWidth <= e.clientWidth"), "the page scrolls sideways"
        assert page.locator("[data-testid=stException]").count() == 0


def test_the_owner_sees_the_figures_of_the_last_complete_month(browser, server, ask):
    ((chf,), (eur,), (usd,)) = ask(
        "select sum(revenue_net) from marts.fct_site_month where owner_id = 'own-a' and local_month = '2026-02-01' "
        "group by currency order by currency"
    )
    with page_at(browser, f"{server}/owner?role=Owner", 1280) as page:
        page.locator("h4").first.wait_for()
        settle(page, 3)
        shown = text_of(page)
        assert f"You earned {chf:,.2f} CHF, {eur:,.2f} EUR and {usd:,.2f} USD before tax in February 2026" in shown
        assert "Data up to 15 Mar 2026" in shown
        first = page.locator(".js-plotly-plot").first.bounding_box()
        assert first["y"] < HEIGHT * 0.75, "the picture begins below the first screen"


def test_the_operator_sees_the_broken_port(browser, server):
    with page_at(browser, f"{server}/operations?role=Operator&operator=VoltRun", 390) as page:
        page.locator("h4").first.wait_for()
        settle(page, 4)
        assert "1 of 8 ports is not working: ST-a1/3 at Station Garage, faulted for 3 d 5 h." in text_of(page)


def test_a_link_keeps_role_month_and_query(browser, server, ask):
    ((count,),) = ask(
        "select count(*) from marts.fct_cdr where is_counted and emsp_id = 'em-2' and local_month = '2026-01-01'"
    )
    with page_at(browser, f"{server}/cdrs?role=EMSP&emsp=Plugly&month=January+2026", 1280) as page:
        page.locator("h4").first.wait_for()
        settle(page, 3)
        assert f"billed {count:,} CDRs in January 2026" in text_of(page)
        assert "month=January+2026" in page.url


def test_choosing_another_role_shows_its_page_and_only_its_rows(browser, server):
    with page_at(browser, f"{server}/owner?role=Owner", 1280) as page:
        page.locator("h4").first.wait_for()
        settle(page, 3)
        page.get_by_role("button", name="View as").click()
        page.get_by_role("radio", name="Operator").click()
        page.get_by_text("Looking as operator Kerbside").wait_for()
        page.locator("h1", has_text="Operations").wait_for()
        settle(page, 3)
        shown = text_of(page)
        assert "Riverside Mall" in shown
        assert "Station Garage" not in shown
        assert "role=Operator" in page.url


def test_selecting_a_cdr_shows_its_price_lines(browser, server):
    with page_at(browser, f"{server}/cdrs?role=EMSP", 1280) as page:
        page.locator("h4").first.wait_for()
        settle(page, 3)
        table = page.locator("[data-testid=stDataFrame]").last
        table.scroll_into_view_if_needed()
        box = table.bounding_box()
        page.mouse.click(box["x"] + 15, box["y"] + 55)  # the first row's tick box: the table is drawn on a canvas
        page.get_by_text(re.compile(r"^CDR CDR-SES-\d+, ")).wait_for()
        settle(page, 3)
        assert "under its tariff" in text_of(page)


def test_an_address_that_does_not_exist_for_the_role_leads_to_its_first_page(browser, server):
    with page_at(browser, f"{server}/sql?role=EMSP", 1280) as page:
        page.locator("h1", has_text="Charge detail records").wait_for()
        settle(page, 3)


def test_a_home_without_a_warehouse_says_what_to_do(browser, unpublished_server, artifacts):
    for width in WIDTHS:
        with page_at(browser, unpublished_server, width) as page:
            page.get_by_text("chargehouse demo").first.wait_for()
            settle(page, 0)
            page.screenshot(path=artifacts / f"no_data_{width}.png")


def test_the_dark_theme_is_drawn_too(browser, server, artifacts):
    with page_at(browser, f"{server}/operations?role=Operator&operator=VoltRun", 1280, scheme="dark") as page:
        page.locator("h4").first.wait_for()
        settle(page, 4)
        background = page.locator("[data-testid=stApp]").evaluate("e => getComputedStyle(e).backgroundColor")
        assert background == "rgb(16, 24, 30)"
        whole(page, 1280)
        page.wait_for_timeout(500)
        page.screenshot(path=artifacts / "operations_dark_1280.png")
