// A picture that is or will be sent: exactly the bytes of its file, as a data URI.

let unnamed = 0;

/** One picture. `part` is its content part in a message; `preview` is a URL for <img>. */
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

  /** Reads a file without scaling or converting it: the service does both. */
  static async read(file) {
    const data = await readBase64(file);
    const picture = new Picture(file, chooseName(file), data);
    const image = new Image();
    image.src = picture.preview;
    try {
      await image.decode();
      picture.width = image.naturalWidth;
      picture.height = image.naturalHeight;
    } catch {
      // Not an error: the service may read a file that this browser cannot show, such as a TIFF.
    }
    return picture;
  }

  /** Whether this browser can show the picture. */
  get visible() {
    return this.width !== null;
  }

  /** Frees the memory of the preview. */
  release() {
    URL.revokeObjectURL(this.preview);
  }
}

// All files from the clipboard have the name image.png.
function chooseName(file) {
  if (file.name && file.name !== "image.png") return file.name;
  unnamed += 1;
  return `picture-${unnamed}.${(file.type.split("/")[1] ?? "png").replace(/\W.*/, "")}`;
}

function readBase64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
}
