"""A browser without a window: keeps cookies, reads the first form of a page, fills it in and sends it, until a page
leads away from the gateway and the provider at which its users sign in. Fields are known by what they are for, not by this
gateway's names alone."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import requests

PAGES_MAX = 10
# A button with one of these words would end the flow.
REFUSING = ("deny", "refuse", "cancel", "decline")


class NoWayOn(Exception):
    """The gateway shows a page that leads nowhere."""


class Form(HTMLParser):
    """The first form of a page, with what a person sees in it already chosen."""

    def __init__(self, page: str):
        super().__init__()
        self.action, self.method, self.fields, self.buttons, self.asked = None, "get", [], [], []
        self._state = "before"
        self.feed(page)

    def handle_starttag(self, tag: str, pairs: list) -> None:
        has = dict(pairs)
        if tag == "form" and self._state == "before":
            self._state = "inside"
            self.action, self.method = has.get("action"), has.get("method", "get").lower()
        if self._state != "inside" or not has.get("name"):
            return
        kind = has.get("type", "submit" if tag == "button" else "text").lower()
        field = (has["name"], has.get("value", "on" if kind in ("checkbox", "radio") else "") or "")
        if tag in ("input", "button") and kind == "submit":
            self.buttons.append(field)
        elif tag == "input" and kind in ("checkbox", "radio"):
            if "checked" in has:
                self.fields.append(field)
        elif tag == "input" and kind == "hidden":
            self.fields.append(field)
        elif tag in ("input", "select", "textarea"):
            self.asked.append(has["name"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "form" and self._state == "inside":
            self._state = "after"


class Browser:
    """Visits pages; `answers` is what the person types, by words in the names of fields."""

    def __init__(self, answers: dict[str, str], provider: str, seconds: float):
        self._answers, self._provider, self._seconds = answers, urlsplit(provider).netloc, seconds
        self._session = requests.Session()
        self.pages: list[str] = []

    def follow(self, url: str) -> str:
        """The address outside gateway and provider to which the pages lead in the end. It is not visited."""
        inside = (urlsplit(url).netloc, self._provider)
        request = ("get", url, None)
        for _ in range(PAGES_MAX):
            method, url, data = request
            answer = self._session.request(method, url, data=data, allow_redirects=False, timeout=self._seconds)
            if answer.is_redirect:
                onward = urljoin(url, answer.headers["Location"])
                if urlsplit(onward).netloc not in inside:
                    return onward
                request = ("get", onward, None)
                continue
            self.pages.append(answer.text)
            form = Form(answer.text)
            if answer.status_code >= 400 or form.action is None:
                raise NoWayOn(f"{answer.status_code} without a form at {url.split('?')[0]}: {answer.text[-300:]}")
            request = (form.method, urljoin(url, form.action), self._filled(form))
        raise NoWayOn(f"no end after {PAGES_MAX} pages")

    def _filled(self, form: Form) -> list[tuple[str, str]]:
        fields = list(form.fields)
        for name in form.asked:
            typed = next((value for word, value in self._answers.items() if word in name.lower()), None)
            if typed is None:
                raise AssertionError(f"the page asks for {name}, and nobody knows the answer")
            fields.append((name, typed))
        wanted = [one for one in form.buttons if not any(word in f"{one}".lower() for word in REFUSING)]
        return fields + wanted[:1]
