// Files that are dropped anywhere on the page: a browser opens a file that nothing accepts, and so
// leaves the page.

const hasFiles = (event) => event.dataTransfer?.types.includes('Files');

/**
 * Call `onDrop(files)` for files that are dropped on the page, whatever it shows, while
 * `isAccepting()`. Others are ignored.
 */
export function acceptDrops({ isAccepting, onDrop }) {
  const mark = (isOver) => document.documentElement.classList.toggle('dropping', isOver);
  addEventListener('dragover', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    if (isAccepting()) mark(true);
    else event.dataTransfer.dropEffect = 'none';
  });
  addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) mark(false);
  });
  addEventListener('drop', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(false);
    if (isAccepting()) onDrop([...event.dataTransfer.files]);
  });
}
