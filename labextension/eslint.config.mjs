import jupyter from '@jupyter/eslint-plugin';
import reactHooks from 'eslint-plugin-react-hooks';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['lib/', 'node_modules/', 'src/contracts.ts', '*.mjs'] },
  ...tseslint.configs.recommended,
  {
    files: ['src/**/*.{ts,tsx}'],
    languageOptions: { parserOptions: { projectService: true } },
    plugins: { 'react-hooks': reactHooks },
    rules: {
      ...reactHooks.configs.recommended.rules,
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-namespace': 'off',
      curly: ['error', 'all'],
      eqeqeq: 'error',
      'no-console': 'error'
    }
  },
  { plugins: { jupyter } },
  ...jupyter.configs.recommended.map(config => ({
    ...config,
    plugins: { jupyter }
  })),
  {
    rules: {
      // A few kilobytes without dependencies, which several plugins need at once.
      'jupyter/prefer-lazy-imports': [
        'warn',
        {
          ignoreImports: [
            '../api',
            '../commands',
            '../icons',
            '../models/wording',
            '../tokens'
          ]
        }
      ]
    }
  }
);
