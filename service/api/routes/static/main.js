// Wires the page: what each part does stands in its own module.

import { answer, requestBody } from "./answering.js";
import { setUpCodeDialog, showCode } from "./code_dialog.js";
import { Composer, FIRST_QUESTION } from "./composer.js";
import { Conversation, State, Turn } from "./conversation.js";
import { byId, download, element, touch } from "./dom.js";
import { followingTheEnd, oncePerFrame } from "./frames.js";
import { setUpIntake, showExamples } from "./intake.js";
import { askForKey, setUpKeyForm } from "./key_form.js";
import { Picture } from "./pictures.js";
import { Sampling } from "./sampling.js";
import { Service } from "./service.js";
import { Speech } from "./speech.js";
import { Status } from "./status.js";
import { TurnView } from "./turn_view.js";
import { showWall } from "./wall.js";

const service = new Service();
const sampling = new Sampling();
const speech = new Speech();
const views = new Map();
let conversation = new Conversation();
let running = null; // the AbortController of the answer that is coming

const composer = new Composer({ send, stop, changed: showPictures });
const status = new Status(service, connect);
setUpCodeDialog();
setUpIntake(addFiles, notify);
byId("code-button").addEventListener("click", showNextCode);
byId("export").addEventListener("click", exportConversation);
byId("new").addEventListener("click", startAnew);
setUpKeyForm(useKey);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running && !document.querySelector("dialog[open]")) stop();
});

/** The service is there, or there again: learn what it serves. */
async function connect() {
  try {
    const { examples, defaults } = await service.pageSettings();
    sampling.showDefaults(defaults);
    showExamples(examples, addFiles, notify);
    await showModels();
  } catch (error) {
    if (error.status === 401) askForKey(true);
    else notify(error);
  }
}

async function showModels() {
  const models = await service.models();
  const select = byId("model");
  select.replaceChildren(...models.map(({ id }) => element("option", {}, id)));
  byId("status-model").textContent = models[0].id;
  byId("model-field").hidden = models.length < 2;
  askForKey(false);
}

async function addFiles(files) {
  notify(null);
  try {
    const pictures = await Promise.all(files.map((file) => Picture.read(file)));
    composer.add(pictures, conversation.pictures.length + 1);
  } catch (error) {
    notify(new Error(`The file could not be read: ${error.message}`));
    return;
  }
  if (!conversation.turns.length && !composer.question) composer.suggest(FIRST_QUESTION);
  else composer.focus();
}

function send(question, pictures) {
  if (!sampling.check()) return;
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
  const mine = new AbortController();
  running = mine;
  composer.answering = true;
  speech.start();
  updateViews();
  const { node } = views.get(turn);
  if (touch) node.focus({ preventScroll: true }); // takes the keyboard away from the answer's place
  else composer.focus();
  node.scrollIntoView({ block: "start" });
  const changed = oncePerFrame(() => showProgress(turn));
  await answer(service, turn, bodyFor(turn, turn.sampling), mine.signal, changed);
  if (running !== mine) return; // a new conversation has begun meanwhile
  running = null;
  followingTheEnd(() => {
    composer.answering = false;
    updateViews();
  });
  if (turn.error?.status === 401) askForKey(true);
  speech.finish(turn.answer, ending(turn));
  status.refresh();
}

function stop() {
  running?.abort();
}

/** Takes the last question back into the form, to be sent differently. */
function edit(turn) {
  conversation.turns.pop();
  views.get(turn).node.remove();
  views.delete(turn);
  composer.restore(turn.question, turn.pictures, conversation.pictures.length + 1);
  updateViews();
}

function bodyFor(turn, fields) {
  return requestBody(byId("model").value, conversation.messagesFor(turn), fields);
}

function showProgress(turn) {
  if (turn.state !== State.ANSWERING || !views.has(turn)) return;
  followingTheEnd(() => views.get(turn).update(true));
  speech.follow(turn.answer);
}

function updateViews() {
  for (const [turn, view] of views) view.update(turn === conversation.last);
  document.body.classList.toggle("talking", conversation.turns.length > 0);
  for (const id of ["export", "new"]) byId(id).hidden = !conversation.turns.length;
  showPictures();
}

function showPictures() {
  const pictures = [...conversation.pictures, ...composer.pictures];
  composer.seen = pictures.length;
  showWall(pictures);
}

function showTurnCode(turn) {
  const pictures = [...conversation.kept.filter((kept) => kept !== turn), turn].flatMap((each) => each.pictures);
  showCode(bodyFor(turn, turn.sampling), pictures, service.key !== "");
}

/** The request that Ask would send now; with nothing typed, the last one that was sent. */
function showNextCode() {
  if (!composer.question && !composer.pictures.length && conversation.last) {
    showTurnCode(conversation.last);
    return;
  }
  const draft = new Turn(composer.question || FIRST_QUESTION, composer.pictures);
  const pictures = [...conversation.kept, draft].flatMap((turn) => turn.pictures);
  showCode(bodyFor(draft, sampling.fields), pictures, service.key !== "");
}

function exportConversation() {
  const time = new Date();
  const data = JSON.stringify(conversation.export(byId("model").value, time), null, 2);
  const name = `conversation-${time.toISOString().slice(0, 19).replaceAll(":", "-")}.json`;
  download(new Blob([data], { type: "application/json" }), name);
}

function startAnew() {
  stop();
  running = null;
  composer.answering = false;
  for (const picture of [...conversation.everyPicture, ...composer.pictures]) picture.release();
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
    notify(null);
    byId("question").focus();
  } catch (error) {
    notify(error);
  }
}

/** Something that belongs to no turn. */
function notify(error) {
  const place = byId("notice");
  place.hidden = !error;
  place.textContent = error ? [error.message, error.detail].filter(Boolean).join(" ") : "";
}

function ending({ state, error }) {
  if (state === State.FAILED) return ""; // the alert in the turn says it
  return state === State.STOPPED ? "Stopped." : "Answer complete.";
}
