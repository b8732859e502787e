// Node runs the models as they are shipped: compiled by TypeScript with the options of tsconfig.json, file by file.
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';

import ts from 'typescript';

const path = fileURLToPath(new URL('../tsconfig.json', import.meta.url));
const { config } = ts.readConfigFile(path, name => readFileSync(name, 'utf8'));
const { options } = ts.convertCompilerOptionsFromJson(
  {
    ...config.compilerOptions,
    composite: false,
    inlineSourceMap: true,
    inlineSources: true
  },
  '.'
);

registerHooks({
  // Names of modules get the ending that a bundler adds.
  resolve(specifier, context, next) {
    if (!/^\.\.?\//.test(specifier) || /\.[a-z]+$/.test(specifier)) {
      return next(specifier, context);
    }
    if (!context.parentURL.includes('/node_modules/')) {
      return next(`${specifier}.ts`, context);
    }
    try {
      return next(specifier, context);
    } catch {
      return next(`${specifier}.js`, context);
    }
  },
  load(url, context, next) {
    if (!url.endsWith('.ts')) {
      return next(url, context);
    }
    const fileName = fileURLToPath(url);
    const source = ts.transpileModule(readFileSync(fileName, 'utf8'), {
      compilerOptions: options,
      fileName
    }).outputText;
    return { format: 'module', source, shortCircuit: true };
  }
});
