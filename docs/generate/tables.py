"""Tables in Markdown."""


def table(header, rows):
    """Write a table; cells are strings, in Markdown."""
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join(f'| {" | ".join(map(_cell, line))} |' for line in lines)


def _cell(text):
    return text.replace('|', r'\|').replace('\n', ' ')


def code(value):
    """Write a value as code; an empty string stays visible."""
    return f'`{value}`' if str(value) else "`''`"


def sentence(text):
    """Begin with a capital, end with a full stop; nothing of it is HTML."""
    text = text.strip().replace('<', '&lt;')
    return text[:1].upper() + text[1:] + ('' if text.endswith(('.', ':')) else '.')
