"""Makes Vectors/chat-template-cases.json: small templates with what Python's jinja2 renders for them.

The environment is the one Hugging Face transformers renders chat templates with: sandbox, trim_blocks, lstrip_blocks, loop controls, a
`generation` tag, its own tojson, raise_exception and strftime_now (clock fixed at 2025-07-10T12:00). The mutable sandbox is used, so that
list.append and friends, which other runtimes allow, have vectors too. A case whose template Python refuses has "error": true.

Usage: python3 make_template_vectors.py   (needs jinja2 3.1)
"""

import datetime
import json
import pathlib
import random

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import SandboxedEnvironment


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = SandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.datetime(2025, 7, 10, 12, 0).strftime(form)
    return env


DATA = {
    "name": "Ada", "empty": "", "n": 7, "neg": -3, "x": 2.5, "big": 1e16, "yes": True, "no": False, "nothing": None,
    "words": ["pear", "Apple", "fig", "apple"], "numbers": [3, 1, 2, 1], "nested": [[1, 2], [3], []], "blank": [],
    "d": {"b": 1, "a": [1, 2], "C": None}, "none_d": {},
    "users": [{"name": "ann", "age": 30, "tags": ["x"]}, {"name": "Bob", "age": 25}, {"name": "cy", "age": 30, "tags": []}],
    "text": "Hello, World! it's <b>5 > 3</b> & \"ok\"", "lines": "one\n\n  two\nthree", "unicode": "caf\u00e9 \u4f60\u597d \U0001f600 e\u0301",
    "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}],
}

CASES = r"""
plain text
{{ name }}|{{ missing }}|{{ nothing }}|{{ yes }}|{{ no }}
{{ n }} {{ x }} {{ big }} {{ 1e-5 }} {{ 0.0001 }} {{ 123456789.123 }} {{ 1e15 }} {{ 1e22 }} {{ 0.1 + 0.2 }} {{ 5e-324 }} {{ 1.7976931348623157e308 }} {{ -0.0 }}
{{ missing.attribute }}
{{ missing['key'] }}
{{ missing() }}
{{ name.missing }}|{{ d.missing }}|{{ none_d.x }}|{{ nothing.x }}|{{ n.x }}
{{ name.missing.deeper }}
{{ d.b }}{{ d['b'] }}{{ d.a[1] }}{{ d.a.0 }}{{ d['a'][-1] }}{{ d.C }}
{{ words[0] }} {{ words[-1] }} {{ words[9] }} {{ words[-9] }}
{{ name[0] }}{{ name[-1] }}{{ name[10] }}
{{ words[1:3] }}{{ words[:2] }}{{ words[-2:] }}{{ words[::2] }}{{ words[::-1] }}{{ words[3:0:-2] }}{{ words[5:] }}{{ words[:-9] }}
{{ name[1:] }}{{ name[::-1] }}{{ name[:-1] }}{{ unicode[3:6] }}{{ unicode[::-1] }}
{{ words[::0] }}
{{ 1 + 2 * 3 }} {{ (1 + 2) * 3 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 6 / 2 }}
{{ 7.5 // 2 }} {{ -7.5 // 2 }} {{ 7.5 % 2 }} {{ -7.5 % 2 }} {{ 7.5 % -2 }} {{ 2 ** -1 }} {{ 2.0 ** 3 }} {{ 1e300 * 10 }}
{{ 1 / 0 }}
{{ 1 % 0 }}
{{ 1.5 // 0 }}
{{ 0 ** -1 }}
{{ 'a' + 'b' }}{{ 'a' ~ 1 ~ none ~ missing ~ 2.0 }}{{ 'ab' * 3 }}{{ 2 * 'xy' }}{{ 'z' * -1 }}{{ [1] * 2 }}{{ [1] + [2, 3] }}{{ (1,) + (2,) }}
{{ 'a' + 1 }}
{{ [1] + 'a' }}
{{ 1 + missing }}
{{ [1] + (2,) }}
{{ true + 1 }} {{ true * 3 }} {{ -true }} {{ +5 }} {{ - 5 }} {{ --5 }} {{ not true }} {{ not missing }} {{ not [] }} {{ not not 1 }}
{{ 1 < 2 }} {{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 1 == 1.0 }} {{ 1 == true }} {{ 'a' < 'b' }} {{ 'a' == 'b' }} {{ [1, 2] == [1, 2.0] }} {{ [1] < [1, 0] }} {{ (1, 'b') > (1, 'a') }}
{{ 'a' < 1 }}
{{ none < 1 }}
{{ none == none }} {{ missing == missing }} {{ missing == none }} {{ [] == () }} {{ {'a': 1} == {'a': 1.0} }} {{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }} {{ '1' == 1 }} {{ d == d }} {{ none != false }}
{{ 'el' in 'hello' }} {{ 'x' not in 'hello' }} {{ 1 in [1, 2] }} {{ '1' in [1] }} {{ 'b' in d }} {{ 'z' in d }} {{ 1 in missing }} {{ '' in '' }} {{ true in [1] }} {{ not 1 in [2] }} {{ 2 in (1, 2) }}
{{ 1 in 'abc' }}
{{ 1 in 5 }}
{{ 'yes' if yes else 'no' }} {{ 'x' if no }}|{{ 'a' if no else 'b' if no else 'c' }} {{ (1 if yes else 2) + 1 }}
{{ 1 and 0 }} {{ 0 or 'x' }} {{ '' or none or [] }} {{ 1 and 'a' or 'b' }} {{ missing or 'default' }} {{ none and missing.x }} {{ yes and not no }} {{ no or yes and no }}
{{ [1, 'a', none, true, 2.5, missing] }}
{{ [1, 2,] }} {{ (1, 2) }} {{ (1,) }} {{ () }} {{ 1, 2 }} {{ {} }} {{ {'a': 1, 2: [3], none: (4,), } }} {{ [[]] }}
{{ {'a': 1, 'a': 2} }} {{ {1: 'x', true: 'y', 1.0: 'z'} }} {{ {(1, 2): 3}[(1, 2)] }} {{ {2.5: 1}[2.5] }}
{{ {[1]: 2} }}
{{ 'it\'s' }} {{ "say \"hi\"" }} {{ ['it\'s', "say \"hi\"", 'both \' and "', 'tab\t nl\n back\\ cr\r', '\x00\x7f\u00ad', '\u00e9\u3000', '\U0001F600'] }}
{{ 'a\nb' }}{{ '\x41\u0042\103' }}{{ 'unknown \d \q' }}{{ 'con' 'cat' "ed" }}
{{ 'é' | length }} {{ unicode | length }} {{ 'e\u0301' == 'é' }} {{ ['é', 'e\u0301'] | unique | list | length }}
{{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1_000 }} {{ 1.5e3 }} {{ 2e2 }} {{ 1_0.5 }}
{{ 0123 }}
{{ 00 }}{{ 0_0 }}
{{ n[1:] }}
{{ missing | int }}
{{ missing | float }}
{{ missing in d }}
{{ d[1:] }}
{{ nothing[:1] }}
{{ 2.5 is odd }} {{ 3.0 is odd }} {{ 4.0 is even }} {{ false | map('upper') | list }} {{ 0 | select | list }}
{{ missing[1:] }}
{{ 5 | indent }}
{{ missing | indent }}
{{ 5 | map('upper') | list }}
{{ users[0].name }} {{ users[1]['age'] }} {{ users.1.name }} {{ nested.0.1 }}
{% set items = {'items': 1, 'keys': 2} %}{{ items['items'] }} {{ items.keys() | list }}
{% if n == 7 %}seven{% elif n == 8 %}eight{% else %}other{% endif %}{% if no %}a{% elif nothing %}b{% elif yes %}c{% endif %}
{% if blank %}a{% else %}b{% endif %}{% if 0.0 %}a{% endif %}{% if ' ' %}space{% endif %}
{% for w in words %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.first }}/{{ loop.last }}/{{ loop.length }}:{{ w }};{% endfor %}
{% for w in words %}{{ loop.previtem }}<{{ w }}>{{ loop.nextitem }} {% endfor %}
{% for w in words %}{{ loop.cycle('odd', 'even') }}{% if loop.changed(w | length) %}!{% endif %}{% endfor %}
{% for x in blank %}x{% else %}none{% endfor %}{% for x in missing %}x{% else %}undefined{% endfor %}{% for c in 'abc' %}{{ c }}.{% endfor %}
{% for k in d %}{{ k }},{% endfor %}{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k, v in d | dictsort %}{{ k }}={{ v }};{% endfor %}
{% for u in users if u.age > 26 %}{{ loop.index }}{{ u.name }}{{ loop.last }}{% else %}nobody{% endfor %}{% for u in users if u.age > 99 %}x{% else %}nobody{% endfor %}
{% for x in 5 %}{% endfor %}
{% for x in none %}{% endfor %}
{% for a, b in [[1, 2], (3, 4)] %}{{ a }}{{ b }};{% endfor %}{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for a, b in [[1, 2, 3]] %}{{ a }}{% endfor %}
{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% break %}
{% for i in 1, 2, 3 %}{{ i }}{% endfor %}{% for i in [1, 2] + [3] %}{{ i }}{% endfor %}{% for i in (words if yes else blank) %}{{ i[0] }}{% endfor %}
{% for row in nested %}{% for c in row %}{{ loop.index }}{{ c }}{% if not loop.last %},{% endif %}{% endfor %}|{{ loop.index }};{% endfor %}
{% for item in [{'v': 1, 'c': [{'v': 2, 'c': [{'v': 3}]}]}, {'v': 4}] recursive %}[{{ loop.depth }}{{ loop.depth0 }}{{ item.v }}{% if item.c %}{{ loop(item.c) }}{% endif %}]{% endfor %}
{% set a = 1 %}{% for i in [1, 2] %}{{ a }}{% set a = a + i %}{{ a }};{% endfor %}{{ a }}
{% for i in [1, 2] %}{% if loop.first %}{% set z = 'set' %}{% endif %}{{ z }}|{% endfor %}{{ z }}
{% set ns = namespace(total=0, seen=[]) %}{% for i in numbers %}{% set ns.total = ns.total + i %}{% endfor %}{{ ns.total }}{{ ns.missing }}{{ ns['total'] }}
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}
{% set q = 1 %}{% set q.x = 2 %}
{% set d.x = 2 %}
{% set a, b = 1, 2 %}{{ b }}{{ a }}{% set c = 1, 2 %}{{ c }}{% set (e, f) = 'xy' %}{{ e }}{{ f }}
{% set a, b = 1 %}
{% set block %}  in {{ name }} {% endset %}[{{ block }}]{% set up | upper | trim %} shout {{ name }} {% endset %}[{{ up }}]
{% if yes %}{% set inner = 'leaks' %}{% endif %}{{ inner }}
{% with a = 1, b = n %}{{ a }}{{ b }}{% set c = 3 %}{{ c }}{% endwith %}{{ a }}{{ c }}
{% macro greet(who, greeting='Hello') %}{{ greeting }}, {{ who }}!{% endmacro %}{{ greet('A') }}{{ greet('B', 'Hi') }}{{ greet(greeting='Yo', who='C') }}{{ greet() }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}
{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, none) }}{{ m.name }}{{ m.arguments }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 'b', c=3) }}
{% macro m(x) %}{% if x > 0 %}{{ x }}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(4) }}{{ m(2) | length }}{{ m(1) == '1' }}
{% macro outer() %}{{ later }}{% endmacro %}{% set later = 'seen' %}{{ outer() }}
{% macro setter() %}{% set name = 'changed' %}{{ name }}{% endmacro %}{{ setter() }}{{ name }}
{% macro box(title) %}<{{ title }}>{{ caller() }}</{{ title }}>{% endmacro %}{% call box('t') %}body {{ name }}{% endcall %}
{% macro each(xs) %}{% for x in xs %}{{ caller(x, loop.index) }}{% endfor %}{% endmacro %}{% call(x, i=0) each(words) %}{{ i }}:{{ x }} {% endcall %}
{% macro nocaller() %}x{% endmacro %}{% call nocaller() %}y{% endcall %}
{% macro opt() %}{% if caller %}{{ caller() }}{% else %}alone{% endif %}{% endmacro %}{{ opt() }}{% call opt() %}with{% endcall %}
{% macro m(*, a) %}{% endmacro %}
{% filter upper %}loud {{ name }}{% endfilter %}{% filter replace('a', 'b') | trim %} banana {% endfilter %}
{% generation %}gen {{ name }}{% endgeneration %}
{# comment #}a{#- tight -#} b {# { % }} #}c
{% raw %}{{ not }} {% rendered %}{% endraw %}|{%- raw -%}  x  {%- endraw -%}  y
{{ '{{' }}{{ '%}' }}{{ "}}" }}
{{ {'a': {'b': 1}}['a']['b'] }}{{ {'a':{'b':{}}} }}
{{ words | join }} {{ words | join(', ') }} {{ users | join(',', attribute='name') }} {{ [1, none, missing, 2.0] | join('-') }} {{ 'abc' | join('.') }} {{ [] | join('x') }}
{{ ' x ' | trim }}|{{ 'xxaxx' | trim('x') }}|{{ '\n\t a \u3000' | trim }}|{{ 5 | trim }}|{{ missing | trim }}|{{ none | trim }}
{{ 'hELLO wORLD' | title }} {{ "it's a-b (c) [d] {e} <f>" | title }} {{ 'hELLO' | capitalize }} {{ 'éa' | capitalize }} {{ 'ß' | upper }} {{ 'ÀÉ' | lower }} {{ 1 | upper }} {{ none | lower }}
{{ 'aXbXc' | replace('X', '-') }} {{ 'aXbXc' | replace('X', '-', 1) }} {{ 'abc' | replace('', '.') }} {{ 'abc' | replace('', '.', 2) }} {{ 123 | replace('2', 'x') }} {{ 'aaa' | replace('aa', 'b') }}
{{ missing | default('d') }} {{ none | default('d') }} {{ '' | default('d', true) }} {{ none | default('d', boolean=true) }} {{ 0 | d(5) }} {{ missing | default }}
{{ missing.x | default('d') }}
{{ missing | default('d') | upper }} {{ d.zzz | default([1]) | length }}
{{ words | length }} {{ d | length }} {{ 'héllo' | count }} {{ missing | length }} {{ () | length }}
{{ 5 | length }}
{{ none | length }}
{{ words | first }} {{ words | last }} {{ [] | first }}|{{ 'abc' | first }}{{ 'abc' | last }} {{ d | first }}
{{ words | list }} {{ 'ab' | list }} {{ d | list }} {{ range(3) | list }} {{ range(5, 1, -2) | list }} {{ range(2, 4) | list }} {{ range(0) | list }}
{{ range(1000000) | length }}
{{ range(1, 2, 0) }}
{{ range('a') }}
{{ words | sort }} {{ words | sort(reverse=true) }} {{ words | sort(case_sensitive=true) }} {{ numbers | sort }} {{ users | sort(attribute='age') | map(attribute='name') | list }} {{ users | sort(attribute='age,name', reverse=true) | map(attribute='name') | list }}
{{ [1, 'a'] | sort }}
{{ words | unique | list }} {{ numbers | unique | list }} {{ words | unique(case_sensitive=true) | list }} {{ users | unique(attribute='age') | map(attribute='name') | list }}
{{ words | reverse | list }} {{ 'abc' | reverse }} {{ unicode | reverse }}
{{ words | min }} {{ words | max }} {{ numbers | min }} {{ numbers | max }} {{ [] | min }}|{{ users | max(attribute='age') | attr('x') }}
{{ numbers | sum }} {{ users | sum(attribute='age') }} {{ [0.1, 0.2] | sum }} {{ [] | sum }} {{ [1] | sum(start=10) }} {{ nested | sum(start=[]) }}
{{ ['a'] | sum }}
{{ words | map('upper') | list }} {{ words | map('length') | list }} {{ users | map(attribute='tags', default='-') | list }} {{ users | map(attribute='name') | map('title') | join(' ') }} {{ words | map('replace', 'p', 'P') | list }} {{ nested | map('first') | list }}
{{ users | map(attribute='tags.0') | list }}
{{ nested | map(attribute=0, default='z') | list }} {{ messages | map(attribute='role.0') | list }}
{{ users | selectattr('tags') | map(attribute='name') | list }} {{ users | selectattr('age', 'equalto', 30) | list | length }} {{ users | rejectattr('age', '>', 26) | map(attribute='name') | list }} {{ users | selectattr('tags', 'defined') | list | length }} {{ users | selectattr('name', 'in', ['cy']) | map(attribute='age') | first }} {{ messages | selectattr('role', '==', 'user') | map(attribute='content') | list }} {{ messages | rejectattr('role', 'equalto', 'system') | list | length }}
{{ numbers | select('odd') | list }} {{ numbers | reject('odd') | list }} {{ [0, 1, '', 'a', none] | select | list }} {{ [0, 1, ''] | reject | list }} {{ words | select('in', ['fig', 'pear']) | list }} {{ numbers | select('>', 1) | list }} {{ numbers | select('divisibleby', 2) | list }} {{ [1, none, missing] | select('none') | list | length }} {{ ['a', 1] | select('string') | list }}
{{ numbers | select('nosuchtest') | list }}
{{ users | groupby('age') | map('first') | list }}{% for age, group in users | groupby('age') %}{{ age }}:{{ group | map(attribute='name') | join(',') }};{% endfor %}
{{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 'x') | list }} {{ [1, 2, 3, 4, 5] | slice(2) | list }} {{ [1, 2, 3, 4, 5] | slice(3, 'x') | list }}
{{ d | items | list }} {{ missing | items | list }} {{ d | dictsort }} {{ d | dictsort(reverse=true) | map('first') | list }} {{ {'x': 2, 'y': 1} | dictsort(by='value') }} {{ {'b': 1, 'A': 2} | dictsort(true) }}
{{ 5 | items | list }}
{{ '42' | int }} {{ ' 42 ' | int }} {{ '42.9' | int }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ '1f' | int(base=16) }} {{ '0x1f' | int(0, 16) }} {{ '1_000' | int }} {{ '-5' | int }} {{ 3.99 | int }} {{ -3.99 | int }} {{ true | int }} {{ none | int }} {{ '' | int }} {{ [] | int(5) }} {{ '1e3' | int }} {{ 'inf' | int }} {{ '0b11' | int(0, 2) }} {{ '12abc' | int }} {{ '+5' | int }} {{ '--5' | int }}
{{ '2.5' | float }} {{ 'x' | float }} {{ 'x' | float(1.5) }} {{ 3 | float }} {{ ' 1e3 ' | float }} {{ none | float }} {{ 'nan' | float }} {{ '-inf' | float }} {{ '1_0' | float }} {{ '0x10' | float }} {{ '.5' | float }} {{ '5.' | float }}
{{ -3 | abs }} {{ 2.5 | abs }} {{ -2.5 | abs }} {{ neg | abs }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ 42.55 | round(1) }} {{ 42.55 | round(1, 'floor') }} {{ 42.51 | round(1, 'ceil') }} {{ 42 | round }} {{ -2.5 | round }} {{ 1234.5 | round(-2) }} {{ 2.4 | round | int }}
{{ 'x' | abs }}
{{ 'x' | round }}
{{ 1.5 | round(1, 'sideways') }}
{{ lines | indent }}|{{ lines | indent(2, true) }}|{{ lines | indent(2, blank=true) }}|{{ lines | indent('> ', first=true, blank=true) }}|{{ 'x' | indent }}|{{ '' | indent(2, true) }}|{{ 'a\n' | indent(2) }}|
{{ text | escape }} {{ text | e }} {{ text | safe }} {{ '<' | forceescape }}
{{ 'a b/c?d=é&' | urlencode }} {{ 'one two  three_four' | wordcount }} {{ 'abc' | center(9) }}|{{ 'abcd' | center(9) }}|{{ 'abc' | center(8) }}|{{ 'abcd' | center(8) }}|
{{ 'the quick brown fox jumps' | truncate(12) }} {{ 'the quick brown fox jumps' | truncate(12, true) }} {{ 'short' | truncate(10) }} {{ 'the quick brown fox' | truncate(10, false, '…', 0) }}
{{ '%s is %d and %.2f' | format('a', 5, 2.345) }} {{ '%(a)s' | format(a=1) }} {{ "%s-%s" % (1, none) }} {{ "%5d|%-5d|%05d|%+d|% d" % (42, 42, 42, 42, 42) }} {{ "%x %X %o %#x %e %g %%" % (255, 255, 8, 255, 12345.678, 0.0001) }} {{ "%r" % 'q' }} {{ "%5s|%-5s|%.2s" % ('ab', 'ab', 'abc') }} {{ "%c" % 'z' }} {{ "%s" % [1] }} {{ "%*d" % (5, 1) }} {{ "%i" % 3.7 }} {{ "%s" % d }}
{{ "%d" % 'x' }}
{{ "%s %s" % 1 }}
{{ "%s" % (1, 2) }}
{{ '{} {} {0}'.format(1) }}
{{ '{} {}'.format(1, 'a') }} {{ '{1}{0}'.format('a', 'b') }} {{ '{x}{y}'.format(x=1, y=[2]) }} {{ '{{}}'.format() }} {{ '{!r}'.format('a') }} {{ '{a[b]}'.format(a={'b': 3}) }} {{ '{0[1]}'.format([1, 2]) }}
{{ d | tojson }} {{ [1, 2.0, 'x', true, none, [], {}] | tojson }} {{ 'é<>&\'"\\/\n\t\u0001\u007f' | tojson }} {{ {1: 2, none: 3, true: 4, 2.5: 5} | tojson }} {{ (1, 2) | tojson }} {{ 1e16 | tojson }}
{{ d | tojson(indent=2) }} {{ [] | tojson(indent=2) }} {{ {'a': {}, 'b': [[], [1]]} | tojson(indent=4) }} {{ d | tojson(separators=(',', ':')) }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ 'é😀' | tojson(ensure_ascii=true) }} {{ [1, [2]] | tojson(indent='--') }} {{ {'a': 1} | tojson(indent=0) }} {{ {'a': [1]} | tojson(indent=2, separators=(' ,', ' : ')) }}
{{ missing | tojson }}
{{ [missing] | tojson }}
{{ range | tojson }}
{{ 'a' | nosuchfilter }}
{{ 'a' | upper(1) }}
{{ 'a' is nosuchtest }}
{{ name is defined }} {{ missing is defined }} {{ missing is undefined }} {{ missing is not defined }} {{ nothing is none }} {{ missing is none }} {{ d.C is none }} {{ d.zzz is defined }} {{ (missing is defined) == false }}
{{ 'a' is string }} {{ 1 is string }} {{ d is mapping }} {{ [] is mapping }} {{ [] is iterable }} {{ 'a' is iterable }} {{ 1 is iterable }} {{ d is iterable }} {{ [] is sequence }} {{ 'a' is sequence }} {{ d is sequence }} {{ 1 is sequence }} {{ none is iterable }} {{ missing is iterable }} {{ missing is sequence }} {{ (1,) is sequence }}
{{ 1 is number }} {{ 1.5 is number }} {{ true is number }} {{ '1' is number }} {{ true is boolean }} {{ 1 is boolean }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ 0 is false }} {{ 1 is integer }} {{ true is integer }} {{ 1.0 is integer }} {{ 1.0 is float }} {{ 1 is float }}
{{ 2 is even }} {{ 3 is odd }} {{ -3 is odd }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 1 is eq 1 }} {{ 1 is equalto 2 }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 2 is ge 2 }} {{ 3 is gt(2) }} {{ 1 is in [1] }} {{ 'a' is in 'abc' }} {{ 1 is not in [1] }} {{ 1 is sameas 1 }} {{ none is sameas none }} {{ true is sameas 1 }} {{ d is sameas d }} {{ [] is sameas [] }}
{{ 'abc' is lower }} {{ 'ABC' is upper }} {{ '1' is lower }} {{ range is callable }} {{ name is callable }} {{ 'upper' is filter }} {{ 'zzz' is filter }} {{ 'even' is test }} {{ 'a' is escaped }}
{{ 'x' is even }}
{{ x is defined and x > 2 }} {{ not x is defined }} {{ x is not none and missing is not defined }} {{ [1, 2] is iterable and 'a' is not mapping }} {{ n is odd or missing.x }} {{ 5 is lt 6 and 6 is gt 5 }} {{ words | first is string }} {{ 1 + 1 is even }}
{{ 'a,b,,c'.split(',') }} {{ '  a  b '.split() }} {{ 'a b c'.split(' ', 1) }} {{ 'a b c'.split(maxsplit=1) }} {{ ' a b c '.split(none, 1) }} {{ 'a<t>b<t>c'.split('<t>')[-1] }} {{ ''.split(',') }} {{ ''.split() }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b c '.rsplit(none, 1) }} {{ 'aXXXa'.rsplit('XX') }} {{ 'aXXXa'.split('XX') }} {{ 'a,b'.split(',', 0) }}
{{ 'a'.split('') }}
{{ 'x a x'.strip('x') }}|{{ ' a '.strip() }}|{{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|{{ '\n\na\n'.strip('\n') }}|{{ 'abcba'.lstrip('ab') }}|{{ 'abcba'.rstrip('ab') }}|{{ ' a '.strip(none) }}|{{ 'éaé'.strip('é') }}
{{ 'hello'.startswith('he') }} {{ 'hello'.endswith('lo') }} {{ 'hello'.startswith(('x', 'h')) }} {{ 'hello'.startswith('el', 1) }} {{ 'hello'.endswith('l', 0, 4) }} {{ ''.startswith('') }} {{ 'a'.endswith('ba') }}
{{ 'hello'.startswith(1) }}
{{ 'Hello World'.upper() }}{{ 'Hello'.lower() }}{{ 'hello wORLD'.capitalize() }}{{ "hello wORLD it's x2y".title() }}{{ 'Hello'.swapcase() }}
{{ 'a-b-a'.replace('a', 'x') }} {{ 'a-b-a'.replace('a', 'x', 1) }} {{ 'ab'.replace('', '-') }} {{ 'hello'.find('l') }} {{ 'hello'.find('z') }} {{ 'hello'.rfind('l') }} {{ 'hello'.index('e') }} {{ 'héllo'.find('l') }} {{ 'hello'.count('l') }} {{ 'aaaa'.count('aa') }} {{ 'abc'.count('') }} {{ 'hello'.find('l', 3) }} {{ 'hello'.find('') }}
{{ 'hello'.index('z') }}
{{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ 'abc'.partition('=') }} {{ 'abc'.rpartition('=') }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ 'abc'.removeprefix('x') }} {{ 'a\nb\r\nc'.splitlines() }} {{ 'a\n\nb\n'.splitlines(true) }} {{ ','.join(['a', 'b']) }} {{ '-'.join('abc') }} {{ 'ab'.ljust(4) }}|{{ 'ab'.rjust(4, '.') }}|{{ 'ab'.center(5, '*') }}|{{ '-5'.zfill(4) }}|{{ '5'.zfill(3) }}|{{ 'a\tb'.expandtabs(4) }}
{{ ','.join([1]) }}
{{ 'abc'.isalpha() }} {{ 'ab1'.isalnum() }} {{ '12'.isdigit() }} {{ '1.2'.isdigit() }} {{ 'ab'.islower() }} {{ 'AB'.isupper() }} {{ ' \n'.isspace() }} {{ ''.isspace() }} {{ 'Ab Cd'.istitle() }} {{ 'AB'.istitle() }} {{ '²'.isdigit() }} {{ '½'.isnumeric() }} {{ '²'.isdecimal() }}
{{ d.get('b') }} {{ d.get('zz') }} {{ d.get('zz', 5) }} {{ d.keys() | list }} {{ d.values() | list }} {{ d.items() | list }} {{ d.copy() }}
{% set l = [1] %}{% set _ = l.append(2) %}{{ l }}{{ l.pop() }}{{ l }}{% set _ = l.extend([5, 6]) %}{% set _ = l.insert(0, 'i') %}{{ l }}{{ l.index(5) }}{{ l.count(1) }}{{ l.pop(0) }}{% set _ = l.reverse() %}{{ l }}{% set _ = l.remove(5) %}{{ l }}{% set m = l %}{% set _ = m.append(9) %}{{ l }}{% set c = l.copy() %}{% set _ = c.clear() %}{{ l }}{{ c }}
{% set dd = {'a': 1} %}{% set _ = dd.update({'b': 2}, c=3) %}{{ dd }}{{ dd.pop('a') }}{{ dd.pop('z', 0) }}{{ dd.setdefault('q', []) }}{{ dd }}{% set _ = dd.update([('k', 'v')]) %}{{ dd }}
{% set dd = {} %}{{ dd.pop('a') }}
{{ [].pop() }}
{{ (1, 2).append(3) }}
{{ dict(a=1, b=2) }} {{ dict([('x', 1)]) }} {{ dict({'q': 1}, r=2) }} {{ dict() }}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.reset() }}{{ c.current }}{% set j = joiner('; ') %}{{ j() }}x{{ j() }}y{{ j() }}
{{ raise_exception('stop here') }}
{{ strftime_now('%Y-%m-%d') }} {{ strftime_now('%d %b %Y %H:%M:%S %p %A %B %j %y %a %I %% %-d %-m %e %D %F %T %R %w %u %U %W %f %c %x %X %-I %C %h %n%t') }}
{{ greet }}{{ greet is defined }}
{{ 1 if }}
{{ }}
{% if %}{% endif %}
{% for %}{% endfor %}
{% unknown %}
{% endif %}
{% if yes %}
{% for x in words %}{% endif %}{% endfor %}
{{ name
{% set a = 1
{# never closed
{% raw %} never closed
{{ 'never closed }}
{{ (1 }}
{{ [1 }}
{{ 1) }}
{{ a b }}
{{ 1 + }}
{{ ! }}
{{ a.'b' }}
{{ a[] }}
{{ f(a=1, 2) }}
{% set 1 = 2 %}
{% set true = 2 %}
{% macro 1() %}{% endmacro %}
{% else %}
{{ name | }}
{{ name is }}
{{ name..x }}
{{ name|upper|lower|title|length + 1 }} {{ (name ~ '!')|upper }} {{ name.upper()|lower }} {{ 'a' ~ 'b'|upper ~ 'c' }} {{ -n|abs }} {{ (n - 10)|abs }} {{ 'x' if name|length == 3 else 'y' }}
{{ 1 ~ 2 + 3 }}
{{ '1' ~ 2 * 3 }} {{ 2 * 3 ~ 'x' }} {{ 1 - 2 - 3 }} {{ 8 / 2 / 2 }} {{ 2 + 3 == 5 and 'a' in 'abc' }} {{ 1 + 2 if yes else 3 + 4 }} {{ [1, 2, 3][1] + 1 }} {{ not yes == no }}
{{ [1, 2, 3] | length > 2 }} {{ words | map('upper') | first ~ '!' }} {{ messages[0]['role'] == 'system' and messages | length > 2 }} {{ messages[-1].role }} {{ messages[1:] | map(attribute='role') | join('/') }} {{ (messages | selectattr('role', 'equalto', 'user') | list)[0].content }} {{ messages | last | attr('zz') }}
{% for m in messages[::-1] %}{{ m.role[0] }}{% endfor %}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ loop.index0 }}{% endif %}{% endfor %}
{{ dict(d, **{'z': 26}) }} {{ range(*[1, 4]) | list }} {% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'a': 3, 'b': 4}) }}{{ m(5, **{'b': 6}) }}
{{ loop }}
{{ self_missing.x.y }}
{{ 9223372036854775807 }} {{ -9223372036854775807 }}
{{ 'abc'[1:][0] }} {{ 'abc'.upper()[0] }} {{ ('a', 'b')[1] }} {{ {'k': 'v'}.k }} {{ [1, 2, 3].index(2) }} {{ "x".join(["a", "b"]).upper() }} {{ '%s' % 'a' | upper }}
{{ true and 'ok' }}{{ True }}{{ None }}{{ none is none }}{{ False or 'f' }}
{{ users | map(attribute='name') | sort | list }} {{ users | map(attribute='nope') | list | length }} {{ words | sort | first | upper }} {{ [3, 1] | sort | tojson }}
""".strip("\n").split("\n")

# Cases that span lines: white-space control.
BLOCKS = [
    "a {#  multi\nline #}c",     "a\n{% if yes %}\nb\n{% endif %}\nc\n", "a\n  {% if yes %}\n  b\n  {% endif %}\nc\n\n", "a {% if yes %} b {% endif %} c",
    "  {%- if yes %}\n x {%- endif %}  \n y", "  {%+ if yes %}x{% endif +%}\ny", "a\n\n  {{ name }}  \n\nb", "a  {{- name -}}  b", "a\n\t{#- c -#}\n b",
    "a\n  {# c #}\nb", "a\n  {# c +#}\nb", "a\n {#+ c #}\nb", "{% for i in [1,2] %}\n  {{ i }}\n{% endfor %}\n", "{% for i in [1,2] -%}\n  {{ i }}\n{%- endfor %}\nend\n\n",
    "\n{% set a = 1 %}\n{% set b = 2 %}\n\n{{ a }}\n{{ b }}\n", "x\r\ny\rz\n{{ '\\r' }}\r\n", "{% if yes %}\r\n a\r\n{% endif %}\r\n", "{{ 'multi\nline' }}",
    "{{\n  name\n  |\n  upper\n}}", "{% if yes\n   and name %}ok{% endif %}", "  {% raw %}\n  {{ x }}\n  {% endraw %}\n  y", "a\n  {% raw -%}\n  x\n  {%- endraw %}\n  y",
    "{{ name }}\n", "{{ name }}\n\n", "\n", "", " \n ", "{%- set x = 1 -%}\n\n  {{ x }}", "a{% set x = 1 %}\nb", "a{{ name }}\nb", "  {% set x = 1 %}  {% set y = 2 %}\nz",
    "{% if yes %}  \n{% endif %}|", " {% if yes %}{% if no %}\n x{% endif %}\n {% endif %}\n|", "\u00a0\u2003{%- if yes %}x{% endif -%}\u3000\u00a0|", "a\n\u00a0 {% if yes %}x{% endif %}",
    "{% macro m() %}\n  line\n{% endmacro %}\n[{{ m() }}]", "{%- macro m() -%}\n  line\n{%- endmacro -%}\n[{{ m() }}]", "{% generation %}\n x\n{% endgeneration %}\ny",
    "{{'a'}}{{-'b'}}{{- 'c' -}} {{+1}}", "{{-1}}", "{{ -1 -}} x", "{#- a -#}{#b#}\n{##}\n{#-#}x", "{%if yes%}a{%else%}b{%endif%}", "{%-if yes-%} a {%-endif-%}", "{ { % # } %} #} }}",
]


split_call = "split('a')"


def random_expression(rng, depth):
    """A random expression over the names of DATA, most of which are valid."""
    atoms = ["n", "neg", "x", "name", "text", "unicode", "words", "numbers", "nested", "d", "users", "yes", "no", "nothing", "missing", "blank", "empty",
             "0", "1", "2", "-1", "3.5", "'a'", "'Apple'", "''", "[]", "{}", "[1, 'a', none]", "(1, 2)", "{'k': [1]}", "true", "none"]
    if depth == 0 or rng.random() < 0.15:
        return rng.choice(atoms)
    sub = lambda: random_expression(rng, depth - 1)
    kind = rng.randrange(10)
    if kind == 0:
        return f"({sub()} {rng.choice(['+', '-', '*', '/', '//', '%', '~', '~', '+'])} {sub()})"
    if kind == 1:
        return f"({sub()} {rng.choice(['==', '!=', '<', '<=', '>', '>=', 'in', 'not in', '=='])} {sub()})"
    if kind == 2:
        return f"({sub()} {rng.choice(['and', 'or'])} {sub()})"
    if kind == 3:
        return f"({sub()} if {sub()} else {sub()})"
    if kind == 4:
        test = rng.choice(["defined", "none", "string", "mapping", "iterable", "sequence", "number", "boolean", "true", "integer", "float", "odd", "lower"])
        return f"({sub()} is {rng.choice(['', 'not '])}{test})"
    if kind == 5 and rng.random() < 0.5:
        # Names only: Jinja's optimiser slices constants by other rules than everything else.
        return f"{rng.choice(['name', 'unicode', 'words', 'numbers', 'nested', 'users', 'blank', 'empty', 'd'])}[{rng.choice(['1:', ':-1', '::2', '::-1', '-2:', '5:', '3:1:-1'])}]"
    if kind == 5:
        return f"({sub()})[{rng.choice(['0', '-1', '1', repr('k'), repr('name'), repr('b')])}]"
    if kind == 6:
        return f"({sub()}).{rng.choice(['name', 'b', 'upper()', 'items() | list', 'split()', 'strip()', 'get(1)', 'keys() | list', 'title()', split_call, 'count(1)'])}"
    if kind == 7:
        return f"[{sub()}, {sub()}]"
    one = ["upper", "lower", "trim", "length", "first", "last", "list", "string", "int", "float", "abs", "title", "capitalize", "reverse | list", "sort", "join(',')",
           "default('dd')", "default('dd', true)", "tojson", "tojson(indent=1)", "unique | list", "map('string') | list", "select | list", "reject('none') | list", "sum", "min",
           "max", "round", "replace('a', 'B')", "indent(2)", "escape", "wordcount", "dictsort", "items | list", "batch(2) | list", "map(attribute='name') | list"]
    return f"({sub()} | {rng.choice(one)})"


def render(template):
    try:
        return {"expected": environment().from_string(template).render(**json.loads(json.dumps(DATA)))}
    except Exception:
        return {"error": True}


def main():
    rng = random.Random(20250710)
    templates = CASES + BLOCKS
    while len(templates) < len(CASES) + len(BLOCKS) + 1200:
        template = "{{ " + random_expression(rng, 3) + " }}"
        outcome = render(template)
        # What prints differently by design (types Python has and templates have no use for), and integers beyond 64 bits, stay out.
        if "expected" in outcome and (any(mark in outcome["expected"] for mark in (" object at 0x", "<bound", "<built-in", "dict_", "Undefined", "Markup("))):
            continue
        if len(template) < 400 and (("expected" in outcome) or rng.random() < 0.2):
            templates.append(template)
    cases = [{"template": template, **render(template)} for template in templates]
    target = pathlib.Path(__file__).parent.parent / "Vectors" / "chat-template-cases.json"
    with open(target, "w", encoding="utf-8") as file:
        file.write('{"data": ' + json.dumps(DATA) + ',\n"cases": [\n')
        file.write(",\n".join(json.dumps(case) for case in cases))
        file.write("\n]}\n")
    print(len(cases), "cases,", sum("error" in case for case in cases), "of them errors")


main()
