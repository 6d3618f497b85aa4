// A picture that is or will be sent: exactly the file's bytes, as a data URI.

let pasted = 0;

/** One picture. `part` is its content part in a message; `preview` an address for <img>. */
export class Picture {
  constructor(file, name, data) {
    this.name = name;
    this.type = file.type || "application/octet-stream";
    this.size = file.size;
    this.width = null;
    this.height = null;
    this.preview = URL.createObjectURL(file);
    this.part = { type: "image_url", image_url: { url: `data:${this.type};base64,${data}` } };
  }

  /** Reads a file; nothing is scaled or converted, as the encoder sees what the file holds. */
  static async read(file) {
    const data = await base64(file);
    const picture = new Picture(file, nameOf(file), data);
    const image = new Image();
    image.src = picture.preview;
    try {
      await image.decode();
      picture.width = image.naturalWidth;
      picture.height = image.naturalHeight;
    } catch {
      // Not for this browser to judge: TIFF cannot be shown here, and yet the service reads it.
    }
    return picture;
  }

  /** Whether this browser can show it. */
  get visible() {
    return this.width !== null;
  }

  /** Gives the preview's memory back. */
  release() {
    URL.revokeObjectURL(this.preview);
  }
}

// Files from the clipboard are all called image.png.
function nameOf(file) {
  if (file.name && file.name !== "image.png") return file.name;
  pasted += 1;
  return `picture-${pasted}.${(file.type.split("/")[1] ?? "png").replace(/\W.*/, "")}`;
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
}
