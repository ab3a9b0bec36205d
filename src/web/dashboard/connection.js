// The connection to one node: its stream, which is resumed after a break, and its requests.

const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 10_000;

/** What a node refused, as problem details say it. */
export class Refusal extends Error {
  constructor(problem) {
    super(problem.detail);
    this.code = problem.code;
    this.status = problem.status;
  }
}

/** A node that the page looks at. */
export class Connection extends EventTarget {
  /** `origin` is that of the node, such as http://127.0.0.1:8080. */
  constructor(origin) {
    super();
    this.origin = origin;
    this.state = "connecting";
    this.reason = "";
    this.last = null;
    this.pair = null;
    this.socket = null;
    this.attempts = 0;
    this.timer = 0;
  }

  get token() {
    return sessionStorage.getItem("token " + this.origin) ?? "";
  }

  set token(token) {
    sessionStorage.setItem("token " + this.origin, token);
  }

  /** Follows a market from now on. */
  follow(pair) {
    this.pair = pair;
    this.last = null;
    this.reconnect();
  }

  /** Opens the stream anew. */
  reconnect() {
    clearTimeout(this.timer);
    if (this.socket) {
      this.socket.onclose = null;
      this.socket.onmessage = null;
      this.socket.close();
    }
    this.setState("connecting");
    const query = new URLSearchParams();
    if (this.pair) query.set("pair", this.pair);
    if (this.last !== null) query.set("from", String(this.last));
    const url = this.origin.replace(/^http/, "ws") + "/api/v1/stream?" + query;
    const protocols = ["bitfitech"];
    if (this.token) protocols.push("bearer." + hex(this.token));
    const socket = new WebSocket(url, protocols);
    socket.onmessage = (message) => this.hear(JSON.parse(message.data));
    socket.onclose = (event) => this.retry(event.reason);
    this.socket = socket;
  }

  hear(message) {
    if (message.snapshot || message.resumed !== undefined) {
      this.attempts = 0;
      this.setState("live");
    }
    if (message.snapshot) this.last = message.snapshot.number;
    if (message.number !== undefined) this.last = message.number;
    this.dispatchEvent(new CustomEvent("message", { detail: message }));
  }

  async retry(reason) {
    this.attempts += 1;
    const wait = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** (this.attempts - 1));
    this.setState("disconnected", reason);
    // A browser does not say why a stream is refused; the same question as a request does.
    if (this.attempts === 2 && (await this.asksForToken())) return;
    this.timer = setTimeout(() => this.reconnect(), wait);
  }

  async asksForToken() {
    try {
      await this.get("/api/v1/node");
    } catch (error) {
      if (error instanceof Refusal && error.status === 401) {
        this.setState("locked");
        return true;
      }
    }
    return false;
  }

  setState(state, reason = "") {
    this.state = state;
    this.reason = reason;
    this.dispatchEvent(new Event("state"));
  }

  /** Asks for a path and returns what the node answers. */
  get(path) {
    return this.request("GET", path);
  }

  /** Sends a request; throws a Refusal when the node refuses. */
  async request(method, path, body) {
    const headers = {};
    if (this.token) headers.authorization = "Bearer " + this.token;
    if (body !== undefined) headers["content-type"] = "application/json";
    const response = await fetch(this.origin + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const answer = await response.json();
    if (!response.ok) throw new Refusal(answer);
    return answer;
  }
}

function hex(text) {
  const bytes = new TextEncoder().encode(text);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
