/** Server-sent events from bytes, as the HTML standard reads them. The size of one event is limited. */

import { StringDecoder } from "node:string_decoder";

const MOST_EVENT_CHARACTERS = 256 * 1024 * 1024;
const MOST_SIGNATURES = 4;
// More is no number that anybody means.
const DIGITS = /^[0-9]{1,15}$/;
const LINE_END = /\r\n|\r|\n/;
const AGE = /\bage=(\d{1,9}(?:\.\d{1,6})?)/;

/** One event is larger than the limit. */
export class EventTooLargeError extends Error {
  override readonly name = "EventTooLargeError";
}

/**
 * `id` is undefined for an event without an id (the standard would repeat the last one).
 *
 * `signatures` come in a field of FlagShip's own; other clients ignore it, as the standard says.
 */
export interface ServerEvent {
  readonly kind: string;
  readonly data: string;
  readonly id: string | undefined;
  readonly signatures: readonly string[];
}

/** Takes bytes as they come. */
export class EventParser {
  /** The pause that the server asked for last. */
  retryMs: number | undefined;
  /** The number of whole comments, which are keep-alives. */
  comments = 0;
  /** What the last comment said of its sender: for how long that has heard nothing from its own source. */
  ageMs: number | undefined;
  readonly #decoder = new StringDecoder("utf8");
  // Of the line that is not complete yet.
  #pieces: string[] = [];
  #waiting = 0;
  #isStart = true;
  #endsInCr = false;
  #kept = 0;
  #kind = "";
  #data: string[] = [];
  #id: string | undefined;
  #signatures: string[] = [];

  /** The size of the event that is not complete yet, in characters. */
  get waiting(): number {
    return this.#waiting + this.#kept;
  }

  /** Adds bytes; returns the events that are now complete. Throws `EventTooLargeError`. */
  feed(bytes: Buffer): ServerEvent[] {
    let text = this.#decoder.write(bytes);
    // The LF of a CR LF whose CR ended the previous piece.
    if (this.#endsInCr && text !== "") {
      this.#endsInCr = false;
      if (text.startsWith("\n")) text = text.slice(1);
    }
    if (text === "") return [];
    this.#endsInCr = text.endsWith("\r");
    // Joined once a line ends: a large event comes in many pieces.
    this.#pieces.push(text);
    this.#waiting += text.length;
    const events = LINE_END.test(text) ? this.#lines() : [];
    if (this.waiting > MOST_EVENT_CHARACTERS) {
      throw new EventTooLargeError(`an event takes more than ${MOST_EVENT_CHARACTERS} characters`);
    }
    return events;
  }

  #lines(): ServerEvent[] {
    const lines = this.#pieces.join("").split(LINE_END);
    const rest = lines.pop() as string;
    this.#pieces = [rest];
    this.#waiting = rest.length;
    return lines.map((line) => this.#line(line)).filter((event) => event !== undefined);
  }

  #line(text: string): ServerEvent | undefined {
    const line = this.#isStart && text.startsWith("\ufeff") ? text.slice(1) : text;
    this.#isStart = false;
    if (line === "") return this.#finished();
    const at = line.indexOf(":");
    const name = at < 0 ? line : line.slice(0, at);
    const value = at < 0 ? "" : line.slice(line[at + 1] === " " ? at + 2 : at + 1);
    if (at === 0) {
      this.comments += 1;
      const age = AGE.exec(value)?.[1];
      this.ageMs = age === undefined ? undefined : Number(age) * 1000;
      return undefined;
    }
    this.#kept += line.length + 1;
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#kind = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "signature" && this.#signatures.length < MOST_SIGNATURES) this.#signatures.push(value);
    else if (name === "retry" && DIGITS.test(value)) this.retryMs = Number(value);
    return undefined;
  }

  #finished(): ServerEvent | undefined {
    const event = {
      kind: this.#kind || "message",
      data: this.#data.join("\n"),
      id: this.#id,
      signatures: this.#signatures,
    };
    const hasData = this.#data.length > 0;
    this.#kind = "";
    this.#data = [];
    this.#id = undefined;
    this.#signatures = [];
    this.#kept = 0;
    return hasData ? event : undefined;
  }
}
