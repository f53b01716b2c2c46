/** The package's version, as `package.json` has it too. */
export const VERSION = "0.1.0";

/** How requests name the SDK. */
export const SDK = `node/${VERSION}`;
