// Sorts and filters the table of attempts, and enlarges the frames of film strips. It runs from
// file:// and loads nothing; without it the page shows all of the same, unsorted.
'use strict';

function initTable(section) {
  const body = section.querySelector('tbody');
  const rows = Array.from(body.rows);
  const shown = section.querySelector('[data-shown]');
  const controls = Array.from(section.querySelectorAll('[data-filter]'));
  const heads = Array.from(section.querySelectorAll('thead th'));

  function filter() {
    let count = 0;
    for (const row of rows) {
      const keep = controls.every((control) => {
        const wanted = control.value.trim().toLowerCase();
        const name = control.dataset.filter;
        if (!wanted) return true;
        return name === 'text' ? row.textContent.toLowerCase().includes(wanted)
          : row.dataset[name] === wanted;
      });
      row.hidden = !keep;
      count += keep;
    }
    shown.textContent = count;
  }

  // Numbers by value, other cells as text; cells without a value last in either direction.
  function compare(a, b, column, sign) {
    const [x, y] = [a, b].map((row) => row.cells[column].dataset.sort);
    if (x === '' || y === '') return (x === '') - (y === '');
    const [p, q] = [Number(x), Number(y)];
    return sign * (Number.isNaN(p) || Number.isNaN(q)
      ? x.localeCompare(y, 'en', {numeric: true}) : p - q);
  }

  heads.forEach((head, column) => {
    head.querySelector('button').addEventListener('click', () => {
      const down = head.getAttribute('aria-sort') === 'ascending';
      heads.forEach((other) => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      rows.sort((a, b) => compare(a, b, column, down ? -1 : 1));
      body.append(...rows);
    });
  });
  controls.forEach((control) => control.addEventListener('input', filter));
  section.querySelector('.controls').hidden = false;
  filter();
}

function initZoom(dialog) {
  const [image, caption] = [dialog.querySelector('img'), dialog.querySelector('p')];
  const frames = Array.from(document.querySelectorAll('button.zoom'));
  let at = 0;

  function show(index) {
    at = (index + frames.length) % frames.length;
    const still = frames[at].querySelector('img');
    [image.src, image.alt] = [still.src, still.alt];
    caption.textContent = frames[at].title;
  }

  frames.forEach((frame, index) => frame.addEventListener('click', () => {
    show(index);
    dialog.showModal();
  }));
  dialog.addEventListener('click', () => dialog.close());
  dialog.addEventListener('keydown', (event) => {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (step) show(at + step);
  });
}

document.querySelectorAll('.attempts').forEach(initTable);
document.querySelectorAll('dialog.large').forEach(initZoom);
