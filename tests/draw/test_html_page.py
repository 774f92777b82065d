"""The HTML drawing in a headless browser."""

import shutil

import numpy as np
import pytest

import fastgrad as fg

pytestmark = pytest.mark.browser


@pytest.fixture
def browser(tmp_path):
    webdriver = pytest.importorskip("selenium.webdriver")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    flags = "headless no-sandbox disable-gpu disable-background-networking disable-component-update disable-sync"
    for flag in [*flags.split(), "no-first-run", f"user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield started
    started.quit()


def test_search_folding_zoom_and_details(browser, tmp_path):
    from selenium.webdriver.common.keys import Keys

    def f(x):
        with fg.group("encoder"):
            hidden = fg.name(np.tanh(x), "<script><b>hidden")
        return np.sum(hidden**2)

    path = tmp_path / "page.html"
    fg.record(f, np.ones(3)).draw("html", values=[np.ones(3)], adjoints=True).save(path)
    browser.get(path.as_uri())

    def find(selector):
        return browser.find_elements("css selector", selector)

    assert len(find("g.node")) == 8
    assert not find("b")

    find("#search")[0].send_keys("tanh")
    assert find("#found")[0].text == "2 found"
    assert len(find("g.node.missed")) == 6
    find("#search")[0].clear()

    # the value and the line of a node that has the focus
    browser.execute_script("arguments[0].focus()", find("g.node")[0])
    details = find("#details")[0].text
    assert "input of shape [3]\nvalue [1, 1, 1]" in details

    group = find("g.group")[0]
    assert group.get_attribute("aria-expanded") == "true"
    browser.execute_script("arguments[0].focus()", group)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert group.get_attribute("aria-expanded") == "false"
    assert len(find("g.node.hidden")) == 1
    browser.switch_to.active_element.send_keys(Keys.SPACE)
    assert not find("g.node.hidden")

    before = find("main svg")[0].get_dom_attribute("viewBox")
    find("#in")[0].click()
    assert find("main svg")[0].get_dom_attribute("viewBox") != before
    browser.execute_script("arguments[0].focus()", find("#drawing")[0])
    browser.switch_to.active_element.send_keys("0")
    assert find("main svg")[0].get_dom_attribute("viewBox") == before
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
