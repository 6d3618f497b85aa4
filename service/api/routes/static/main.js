// Connects the parts of the page. Each part is a module of its own.

import { Announcer } from "./announcer.js";
import { buildRequest, streamAnswer } from "./answer_stream.js";
import { setUpCodeDialog, showCode } from "./code_dialog.js";
import { Composer, FIRST_QUESTION } from "./composer.js";
import { Conversation, State, Turn } from "./conversation.js";
import { byId, create, download, isTouchScreen } from "./dom.js";
import { keepScrolledToEnd, throttleToFrames } from "./frames.js";
import { showGallery } from "./gallery.js";
import { markKey, setUpKeyForm, showKeyForm } from "./key_form.js";
import { Picture } from "./picture.js";
import { explainRefusal } from "./picture_check.js";
import { setUpPictureInput, showExamples } from "./picture_input.js";
import { Sampling } from "./sampling.js";
import { Service } from "./service.js";
import { Status } from "./status.js";
import { TurnView } from "./turn_view.js";
import { setUpZoom } from "./zoom.js";

const service = new Service();
const sampling = new Sampling();
const announcer = new Announcer();
const views = new Map();
let conversation = new Conversation();
let models = []; // what /v1/models lists
let running = null; // the AbortController of the current answer
let edited = null; // the turn that is being edited, and what the form held before
let limits = { pictures: Infinity, bytes: Infinity, pixels: Infinity };

const composer = new Composer({ onSend: send, onStop: stop, onChange: showPictures, onCancelEdit: cancelEdit });
const status = new Status(service, connect);
setUpCodeDialog();
setUpZoom();
setUpPictureInput(addFiles, notify);
byId("code-button").addEventListener("click", showNextCode);
byId("export").addEventListener("click", exportConversation);
byId("new").addEventListener("click", startNewConversation);
setUpKeyForm(useKey);
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
  if (running) stop();
  else cancelEdit();
});
// The conversation exists only in this tab. The browser asks whether to leave.
addEventListener("beforeunload", (event) => {
  if (conversation.turns.length || composer.pictures.length || edited) event.preventDefault();
});

/** Reads what the service serves. Runs each time the service becomes ready. */
async function connect() {
  try {
    const { about, examples, defaults, limits: given } = await service.pageSettings();
    limits = given;
    sampling.showDefaults(defaults);
    byId("about").textContent = about;
    byId("about").hidden = !about;
    showExamples(examples, addFiles, notify);
    await showModels();
  } catch (error) {
    if (error.status === 401) showKeyForm(true);
    else notify(error);
  }
}

async function showModels() {
  models = await service.models();
  const select = byId("model");
  select.replaceChildren(...models.map(({ id }) => create("option", {}, id)));
  byId("status-model").textContent = models[0].id;
  byId("model-field").hidden = models.length < 2;
  showKeyForm(false);
}

async function addFiles(files) {
  notify(null);
  try {
    composer.add(await readPictures(files), conversation.pictures.length + 1);
  } catch (error) {
    notify(new Error(`The file could not be read: ${error.message}`));
    return;
  }
  if (!conversation.turns.length && !composer.question) composer.suggest(FIRST_QUESTION);
  else composer.focus();
}

/** Reads the files that the service will accept, and says why it would refuse the others. */
async function readPictures(files) {
  const problems = [];
  const pictures = [];
  const room = limits.pictures - conversation.pictures.length - composer.pictures.length;
  for (const file of files) {
    const picture = await Picture.read(file);
    const problem = await explainRefusal(file, picture, limits);
    if (!problem && pictures.length < room) {
      pictures.push(picture);
      continue;
    }
    picture.release();
    problems.push(problem ?? `${picture.name} was not added: a conversation can have at most ${limits.pictures} pictures.`);
  }
  if (problems.length) notify(new Error(problems.join(" ")));
  return pictures;
}

function send(question, pictures) {
  if (!sampling.check()) return;
  edited = null;
  composer.editing = false;
  const turn = new Turn(question, pictures);
  const number = conversation.pictures.length + 1;
  conversation.turns.push(turn);
  const view = new TurnView(turn, number, {
    retry: () => ask(turn),
    edit: () => edit(turn),
    code: () => showTurnCode(turn),
  });
  views.set(turn, view);
  byId("turns").append(view.node);
  composer.clear();
  composer.renumber(conversation.pictures.length + 1);
  ask(turn);
}

async function ask(turn) {
  if (!sampling.check()) return;
  notify(null);
  turn.reset();
  turn.sampling = sampling.fields;
  turn.seen = conversation.picturesUntil(turn);
  const controller = new AbortController();
  running = controller;
  composer.answering = true;
  announcer.start();
  updateViews();
  const { node } = views.get(turn);
  if (isTouchScreen) node.focus({ preventScroll: true }); // hides the keyboard
  else composer.focus();
  node.scrollIntoView({ block: "start" });
  const onChange = throttleToFrames(() => showProgress(turn));
  await streamAnswer(service, turn, buildBody(turn, turn.sampling), controller.signal, onChange);
  if (running !== controller) return; // the user started a new conversation
  running = null;
  keepScrolledToEnd(() => {
    composer.answering = false;
    updateViews();
  });
  if (turn.error?.status === 401) showKeyForm(true);
  announcer.finish(turn.answer, describeEnding(turn));
  status.refresh();
}

function stop() {
  running?.abort();
}

/** Puts the last question back into the form; `cancelEdit` undoes it. */
function edit(turn) {
  const draft = { question: composer.question, pictures: composer.pictures };
  edited = { turn, view: views.get(turn), draft };
  conversation.turns.pop();
  edited.view.node.remove();
  views.delete(turn);
  composer.editing = true;
  composer.fill({ question: turn.question, pictures: [...turn.pictures, ...draft.pictures] }, conversation.pictures.length + 1);
  updateViews();
}

/** Brings back the turn that is being edited, and what the form held before. */
function cancelEdit() {
  if (!edited) return;
  const { turn, view, draft } = edited;
  edited = null;
  composer.editing = false;
  conversation.turns.push(turn);
  views.set(turn, view);
  byId("turns").append(view.node);
  composer.fill(draft, conversation.pictures.length + 1);
  updateViews();
}

function buildBody(turn, fields) {
  // A model with boxes sees a photo as the browser shows it, so that boxes fit what the user sees.
  const upright = hasBoxes() ? { media_io_kwargs: { image: { orientation: "exif" } } } : {};
  return { ...buildRequest(byId("model").value, conversation.buildMessages(turn), fields), ...upright };
}

function hasBoxes() {
  const model = models.find(({ id }) => id === byId("model").value);
  return model?.features?.includes("boxes") ?? false;
}

function identify(box) {
  composer.suggest(`[identify] what is this ${box}`);
}

function showProgress(turn) {
  if (turn.state !== State.ANSWERING || !views.has(turn)) return;
  keepScrolledToEnd(() => views.get(turn).update(true));
  announcer.update(turn.answer);
}

function updateViews() {
  for (const [turn, view] of views) view.update(turn === conversation.last);
  document.body.classList.toggle("has-turns", conversation.turns.length > 0);
  for (const id of ["export", "new"]) byId(id).hidden = !conversation.turns.length;
  showPictures();
}

function showPictures() {
  const pictures = [...conversation.pictures, ...composer.pictures];
  composer.pictureCount = pictures.length;
  showGallery(pictures, hasBoxes() ? identify : null);
}

function showTurnCode(turn) {
  const pictures = [...conversation.answered.filter((other) => other !== turn), turn].flatMap((each) => each.pictures);
  showCode(buildBody(turn, turn.sampling), pictures, service.key !== "");
}

/** Shows the request that Ask would send now. With an empty form, shows the last request. */
function showNextCode() {
  if (!composer.question && !composer.pictures.length && conversation.last) {
    showTurnCode(conversation.last);
    return;
  }
  const draft = new Turn(composer.question || FIRST_QUESTION, composer.pictures);
  const pictures = [...conversation.answered, draft].flatMap((turn) => turn.pictures);
  showCode(buildBody(draft, sampling.fields), pictures, service.key !== "");
}

function exportConversation() {
  const time = new Date();
  const data = JSON.stringify(conversation.export(byId("model").value, time), null, 2);
  const name = `conversation-${time.toISOString().slice(0, 19).replaceAll(":", "-")}.json`;
  download(new Blob([data], { type: "application/json" }), name);
}

function startNewConversation() {
  stop();
  running = null;
  composer.answering = false;
  composer.editing = false;
  edited = null;
  for (const picture of [...conversation.allPictures, ...composer.pictures]) picture.release();
  conversation = new Conversation();
  views.clear();
  byId("turns").replaceChildren();
  composer.clear();
  notify(null);
  updateViews();
  composer.focus();
}

async function useKey(key) {
  service.key = key;
  try {
    await showModels();
    markKey(false);
    notify(null);
    byId("question").focus();
  } catch (error) {
    markKey(error.status === 401);
    notify(error.status === 401 ? new Error(error.message) : error);
  }
}

/** Shows an error that belongs to no turn; null hides it. */
function notify(error) {
  const place = byId("notice");
  place.hidden = !error;
  place.textContent = error ? [error.message, error.detail].filter(Boolean).join(" ") : "";
}

function describeEnding({ state, error }) {
  if (state === State.FAILED) return ""; // the turn shows an alert
  return state === State.STOPPED ? "Stopped." : "Answer complete.";
}
