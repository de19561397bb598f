// What the pages do without this is enough to read and to act.  This adds: live
// updates while the page is seen, a question before what cannot be undone.
(function () {
	"use strict";

	var content = document.getElementById("content");
	var spoken = document.getElementById("spoken");
	var state = { on: true, busy: false, last: 0, failures: 0 };

	// ---- Make one tree like the other, and touch only what differs: focus,
	// selection, scrolling and opened details stay.

	function same(a, b) {
		return a.nodeType === b.nodeType && a.nodeName === b.nodeName &&
			(a.nodeType !== 1 || (a.id || "") === (b.id || ""));
	}

	function attributes(from, to) {
		var i, name;
		for (i = from.attributes.length - 1; i >= 0; i--) {
			name = from.attributes[i].name;
			if (!to.hasAttribute(name) && !(name === "open" && from.nodeName === "DETAILS")) {
				from.removeAttribute(name);
			}
		}
		for (i = 0; i < to.attributes.length; i++) {
			name = to.attributes[i].name;
			if (from.getAttribute(name) !== to.attributes[i].value && !(name === "open" && from.nodeName === "DETAILS")) {
				from.setAttribute(name, to.attributes[i].value);
			}
		}
	}

	// Something came before a: it is put there.  Something has gone: so are those
	// in between.  Else b takes a's place.
	function align(from, a, b) {
		var later, i;
		if (a && same(a, b)) { return a; }
		for (later = a && a.nextSibling, i = 0; later && i < 8; later = later.nextSibling, i++) {
			if (b.nodeType === 1 && same(later, b) && later.className === b.className) {
				while (from.contains(a) && a !== later) {
					var gone = a;
					a = a.nextSibling;
					from.removeChild(gone);
				}
				return later;
			}
		}
		for (later = b.nextSibling, i = 0; a && later && i < 8; later = later.nextSibling, i++) {
			if (a.nodeType === 1 && same(a, later) && a.className === later.className) {
				return from.insertBefore(document.importNode(b, true), a);
			}
		}
		if (!a) { return from.appendChild(document.importNode(b, true)); }
		var fresh = document.importNode(b, true);
		from.replaceChild(fresh, a);
		return fresh;
	}

	function morph(from, to) {
		var a = from.firstChild, b, gone;
		for (b = to.firstChild; b; b = b.nextSibling) {
			a = align(from, a, b);
			if (a.nodeType === 3) {
				if (a.data !== b.data) { a.data = b.data; }
			} else if (a.nodeName === "FORM") {
				// what somebody is filling in stays
				if (a.classList.contains("action") && !a.isEqualNode(b)) { attributes(a, b); morphForm(a, b); }
			} else if (a.nodeType === 1) {
				attributes(a, b);
				morph(a, b);
			}
			a = a.nextSibling;
		}
		while (a) {
			gone = a;
			a = a.nextSibling;
			from.removeChild(gone);
		}
	}

	// A form with a button: its hidden fields, too
	function morphForm(a, b) {
		var fresh = document.importNode(b, true);
		var had = a.contains(document.activeElement);
		a.replaceChildren.apply(a, Array.prototype.slice.call(fresh.childNodes));
		if (had && a.querySelector("button")) { a.querySelector("button").focus(); }
	}

	// ---- On a narrow screen a row of a table is a card: its cells have their titles

	function labels(root) {
		root.querySelectorAll("table:not(.jobs)").forEach(function (table) {
			var titles = Array.prototype.map.call(table.tHead.rows[0].cells, function (cell) { return cell.textContent; });
			table.classList.add("labelled");
			table.querySelectorAll("tbody tr").forEach(function (row) {
				Array.prototype.forEach.call(row.cells, function (cell, i) { cell.setAttribute("data-label", titles[i] || ""); });
			});
		});
	}

	// ---- Copy: a text of the button, or of what stands behind it

	function copyable(root) {
		root.querySelectorAll("button.copy").forEach(function (button) { button.hidden = false; });
	}

	function textOf(button) {
		if (button.hasAttribute("data-copy")) { return button.getAttribute("data-copy"); }
		var at = button.closest("h3") || button;
		while (at && at.nodeName !== "PRE") { at = at.nextElementSibling; }
		return at ? at.textContent : "";
	}

	// Without TLS a browser has no clipboard for other machines than its own
	function copy(text) {
		if (navigator.clipboard && window.isSecureContext) { return navigator.clipboard.writeText(text); }
		var area = document.createElement("textarea");
		area.value = text;
		area.className = "spoken";
		document.body.appendChild(area);
		area.select();
		var done = document.execCommand("copy");
		area.remove();
		return done ? Promise.resolve() : Promise.reject(new Error("refused"));
	}

	document.addEventListener("click", function (event) {
		var button = event.target.closest && event.target.closest("button.copy");
		if (!button) { return; }
		copy(textOf(button)).then(function () { return "Copied"; }, function () { return "The browser refused it"; }).then(function (result) {
			button.textContent = result;
			spoken.textContent = result;
			button.focus();
			setTimeout(function () { button.textContent = "Copy"; }, 1500);
		});
	});

	// ---- Live

	function selecting() {
		var s = window.getSelection();
		return s && !s.isCollapsed && content.contains(s.anchorNode);
	}

	function say(root) {
		root.querySelectorAll("[data-say]").forEach(function (element) {
			var was = document.getElementById(element.id);
			if (was && was.textContent !== element.textContent) {
				spoken.textContent = "Now " + element.textContent;
			}
		});
	}

	// The icon of the tab says that something needs attention
	function icon() {
		var title = document.getElementById("page-title");
		document.querySelector("link[rel=icon]").href = title && title.hasAttribute("data-alarm") ? "/alarm.svg" : "/icon.svg";
	}

	function mark(text, title) {
		var b = document.getElementById("live-button");
		if (b) {
			b.textContent = text;
			b.title = title;
			b.parentNode.className = "live " + (state.failures ? "lost" : state.on ? "on" : "off");
			b.setAttribute("aria-pressed", state.on ? "true" : "false");
		}
	}

	function update() {
		var begun = performance.now();
		state.busy = true;
		fetch(location.href, { headers: { "X-Fragment": "1" }, credentials: "same-origin", cache: "no-store" }).then(function (answer) {
			if (answer.status === 401) { location.href = "/login"; throw new Error("logged out"); }
			if (!answer.ok && answer.status !== 404) { throw new Error("status " + answer.status); }
			return answer.text();
		}).then(function (text) {
			var fresh = new DOMParser().parseFromString("<div id=\"content\">" + text + "</div>", "text/html").getElementById("content");
			labels(fresh);
			copyable(fresh);
			if (!selecting()) {
				say(fresh);
				morph(content, fresh);
			}
			var title = document.getElementById("page-title");
			if (title) { document.title = title.textContent + " \u00b7 defer"; }
			icon();
			state.failures = 0;
			mark(state.on ? "Live" : "Paused", "updated each second; press to pause");
		}).catch(function () {
			state.failures++;
			mark("No answer", "the dashboard or its database does not answer");
		}).finally(function () {
			state.busy = false;
			state.last = performance.now();
			// a slow server is asked less often
			state.wait = Math.max(1000, 5 * (state.last - begun)) * (state.failures ? Math.min(10, 1 + state.failures) : 1);
		});
	}

	function tick() {
		if (state.on && !state.busy && !document.hidden && performance.now() - state.last >= (state.wait || 1000)) {
			update();
		}
	}

	// ---- Begin

	document.addEventListener("submit", function (event) {
		var question = event.target.getAttribute("data-confirm");
		if (question && !window.confirm(question)) { event.preventDefault(); }
	});

	// empty filters stay out of the address
	document.querySelectorAll("form.filters").forEach(function (form) {
		form.addEventListener("submit", function () {
			form.querySelectorAll("input, select").forEach(function (field) { field.disabled = field.value === ""; });
			setTimeout(function () { form.querySelectorAll(":disabled").forEach(function (field) { field.disabled = false; }); }, 0);
		});
	});

	var login = document.getElementById("login");
	if (login) {
		if (location.search) { history.replaceState(null, "", "/login"); }
		if (login.hasAttribute("data-send")) { login.submit(); }
	}

	// zones to choose from, that of the browser first
	var zones = document.getElementById("zones");
	if (zones && window.Intl && Intl.supportedValuesOf) {
		[Intl.DateTimeFormat().resolvedOptions().timeZone, "UTC"].concat(Intl.supportedValuesOf("timeZone")).forEach(function (name) {
			zones.appendChild(document.createElement("option")).value = name;
		});
	}

	// on a narrow screen the menu scrolls: to the page that is open
	var here = document.querySelector("nav a[aria-current]");
	if (here && here.closest("nav").scrollWidth > here.closest("nav").clientWidth) {
		here.closest("nav").scrollLeft = here.offsetLeft - 24;
	}

	if (content) {
		labels(content);
		copyable(content);
		document.getElementById("live").hidden = false;
		document.getElementById("live-button").addEventListener("click", function () {
			state.on = !state.on;
			mark(state.on ? "Live" : "Paused", "");
		});
		state.last = performance.now();
		setInterval(tick, 250);
		mark("Live", "updated each second; press to pause");
	}
})();
